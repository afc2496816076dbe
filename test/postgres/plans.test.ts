import { expect, test } from 'bun:test'
import type postgres from 'postgres'
import { migrated } from '../support/schema.ts'

/** The log's length. PLAN_ROWS=10000000 is the full size; of fewer rows the planner is told that there are so many. */
const rows = Number(process.env.PLAN_ROWS ?? 50_000)
const pretended = 10_000_000
/** How many are scheduled besides: 20 on each channel, and 20 on several. A third of them failed. */
const later = Math.max(20_000, rows / 10)
/** From this cost on, by default, Postgres compiles a query, which takes longer than all of these. */
const jitAboveCost = 100_000

/** As an application's own session asks: with the planner's defaults. */
const questions = {
  'of a notification': `
    select channel, status, error from kairan.deliveries where notification_id = kairan_test.id_of(${rows / 2})`,
  'of a notification, on a channel': `
    select status from kairan.deliveries
    where notification_id = kairan_test.id_of(${rows / 2}) and channel = 'user-1'`,
  'newest of a channel': `
    select notification_id, status from kairan.deliveries where channel = 'user-7' order by seq desc limit 50`,
  'pending of a channel': `
    select notification_id from kairan.deliveries where channel = 'user-rare' and status = 'pending'`,
  'failed of a channel': `
    select notification_id from kairan.deliveries where channel = 'user-rare' and status = 'failed'`,
  'of a channel that is only in what is scheduled': `
    select notification_id, status from kairan.deliveries where channel = 'org-later'`,
  'of a scheduled notification': `
    select channel, status from kairan.deliveries where notification_id = kairan_test.id_of(${rows + later / 2})`,
  'failed in the last minute': `
    select notification_id, channel, error from kairan.deliveries
    where status = 'failed' and created_at > now() - interval '1 minute'`,
  'pending for an hour, of this day': `
    select count(*) from kairan.deliveries
    where status = 'pending' and created_at between now() - interval '61 minutes' and now() - interval '60 minutes'`,
  'newest of the log': `
    select notification_id, status from kairan.deliveries where seq > ${rows - 20} order by seq`,
}

const fill = async (sql: postgres.Sql) => {
  // A week, in the order of time. 1 of 1,000 failed, 1 of 100 is pending.
  await sql.unsafe(`
    -- Nobody else counts the rows of what is pretended to be larger.
    alter table kairan.numbered set (autovacuum_enabled = off);
    alter table kairan.notifications set (autovacuum_enabled = off);
    alter table kairan.scheduled set (autovacuum_enabled = off);
    create schema kairan_test;
    create function kairan_test.id_of(n int) returns uuid language sql immutable as $$
      select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
    alter table kairan.notifications disable trigger user;
    insert into kairan.notifications (id, channels, payload, bytes, created_at)
    select kairan_test.id_of(n), array[channel], '{"n": 1}', 8, at
    from (
      select n, case when n % ${rows / 10} = 0 then 'user-rare' else 'user-' || n % 1000 end as channel,
        now() - interval '7 days' * (1 - n / ${rows}.0) as at
      from generate_series(1, ${rows}) n
    ) n;
    alter table kairan.notifications enable trigger user;
    insert into kairan.numbered (seq, notification_id, channel, created_at, status, recipients)
    select ('x' || right(id::text, 12))::bit(48)::bigint, id, channels[1], created_at,
      case when n % 1000 = 0 then 'f' when n % 100 = 0 then 'p' else 'd' end::"char", 1
    from (select *, row_number() over () as n from kairan.notifications) n`)
  // Of another transaction: all of it has been numbered.
  await sql`
    insert into kairan.batches (n, head, done, done_place, place)
    select 2, ${rows}::int, pg_current_snapshot(), max(place), max(place) from kairan.notifications`
  await sql.unsafe(`
    alter table kairan.scheduled disable trigger user;
    insert into kairan.scheduled (id, channels, payload, send_at, created_at, error)
    select kairan_test.id_of(${rows} + n),
      case n % ${later / 20} when 0 then array['user-rare'] when 1 then array['user-1', 'org-1', 'org-later']
        else array['user-' || n % ${later / 20}] end,
      '{}', now() + interval '1 day', now() - interval '7 days' * n / ${later}.0, case when n % 3 = 0 then 'no' end
    from generate_series(1, ${later}) n;
    alter table kairan.scheduled enable trigger user`)
  await sql`vacuum analyze kairan.scheduled`
  await sql`vacuum analyze kairan.notifications`
  await sql`vacuum analyze kairan.numbered`
  await sql`
    update pg_class c set reltuples = c.reltuples * ${pretended}::float8 / p.rows
    from (
      values ('kairan.numbered'::regclass, ${rows}::int), ('kairan.notifications', ${rows}), ('kairan.scheduled', ${later})
    ) p (of, rows)
    where c.oid = p.of or c.oid in (select indexrelid from pg_index where indrelid = p.of)`
}

type Node = {
  'Node Type': string
  'Relation Name'?: string
  Plans?: Node[]
  [fact: string]: unknown
}

/** The nodes of the plan with which a query was carried out, the root first. */
const explain = async (sql: postgres.ReservedSql, query: string) => {
  // Once before: in a new session the catalogue is read, too.
  await sql.unsafe(query)
  const [row] = await sql.unsafe(`explain (analyze, buffers, timing off, format json) ${query}`)
  const nodes = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodes)]
  return nodes(row?.['QUERY PLAN'][0].Plan)
}

/** The plan of three that read the least: a session whose caches were emptied reads the catalogue once more. */
const least = async (sql: postgres.ReservedSql, query: string) => {
  const plans = [await explain(sql, query), await explain(sql, query), await explain(sql, query)]
  return plans.toSorted(([a], [b]) => blocksOf(a) - blocksOf(b))[0] ?? []
}

const blocksOf = (node: Node | undefined) =>
  Number(node?.['Shared Hit Blocks']) + Number(node?.['Shared Read Blocks'])

test(
  'what is asked of kairan.deliveries reads a few blocks of ten million, and never a whole table',
  async () => {
    await using db = await migrated()
    await fill(db.sql)
    const session = await db.sql.reserve()
    for (const [name, query] of Object.entries(questions)) {
      const plan = await least(session, query)
      const scanned = plan
        .filter(node => node['Node Type'].includes('Seq Scan'))
        .map(node => node['Relation Name'])
        .filter(relation => relation !== undefined)
      expect(scanned, name).toEqual([])
      expect(blocksOf(plan[0]), name).toBeLessThan(200)
      expect(Number(plan[0]?.['Total Cost']), name).toBeLessThan(jitAboveCost)
    }
    session.release()
  },
  60_000 + rows / 10,
)

test('kairan.deliveries shows what is scheduled once on each of its channels, whichever it is asked for', async () => {
  await using db = await migrated()
  await db.sql`
    insert into kairan.scheduled (channels, payload, send_at) values
      ('{user-1}', '{}', now() + interval '1 day'),
      ('{user-2,org-1,user-1,org-1}', '{}', now() + interval '1 day'),
      ('[5:6]={user-3,org-1}', '{}', now() + interval '1 day'),
      ('{{user-4,user-5},{user-6,user-7}}', '{}', now() + interval '1 day')`
  await db.sql`
    insert into kairan.scheduled (channels, payload, send_at, error)
    select channels, payload, send_at, 'no' from kairan.scheduled`
  const scheduled = await db.sql`
    select s.id, c as channel, case when error is null then 'pending' else 'failed' end as status, s.error
    from kairan.scheduled s cross join unnest(s.channels) c`
  expect(scheduled).toHaveLength(20)
  const shown = (where: postgres.PendingQuery<postgres.Row[]>) =>
    db.sql`select notification_id as id, channel, status, error from kairan.deliveries where ${where}`
  const inOrder = (found: object[]) => found.map(row => JSON.stringify(row)).toSorted()
  expect(inOrder(await shown(db.sql`true`))).toEqual(inOrder(scheduled))
  for (const { id, channel, status } of scheduled) {
    const asked = {
      id: await shown(db.sql`notification_id = ${id}`),
      channel: await shown(db.sql`channel = ${channel}`),
      status: await shown(db.sql`channel = ${channel} and status = ${status}`),
    }
    expect(inOrder(asked.id)).toEqual(inOrder(scheduled.filter(row => row.id === id)))
    const sameChannel = scheduled.filter(row => row.channel === channel)
    expect(inOrder(asked.channel)).toEqual(inOrder(sameChannel))
    expect(inOrder(asked.status)).toEqual(inOrder(sameChannel.filter(row => row.status === status)))
  }
})
