import { expect, test } from 'bun:test'
import type postgres from 'postgres'
import { migrated } from '../support/schema.ts'

/** The log's length. PLAN_ROWS=10000000 is the full size; of fewer rows the planner is told that there are so many. */
const rows = Number(process.env.PLAN_ROWS ?? 50_000)
const pretended = 10_000_000
/** How many are scheduled besides. */
const later = 20_000

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
  'failed in the last minute': `
    select notification_id, channel, error from kairan.deliveries
    where status = 'failed' and created_at > now() - interval '1 minute'`,
  'pending for an hour, of this day': `
    select count(*) from kairan.deliveries
    where status = 'pending' and created_at between now() - interval '61 minutes' and now() - interval '60 minutes'`,
  'newest of the log': `
    select notification_id, status from kairan.deliveries where seq > ${rows - 20} order by seq`,
}

const logged = ['numbered', 'notifications']

/** By channel, all that is scheduled is read: an index of its channels would cost more than the question is worth. */
const wholeOfScheduled = ['newest of a channel', 'pending of a channel']

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
    select gen_random_uuid(), array['user-' || n % 1000], '{}', now() + interval '1 day',
      now() - interval '7 days' * n / ${later}.0, case when n % 1000 = 0 then 'no' end
    from generate_series(1, ${later}) n;
    alter table kairan.scheduled enable trigger user`)
  await sql`vacuum analyze kairan.scheduled`
  await sql`vacuum analyze kairan.notifications`
  await sql`vacuum analyze kairan.numbered`
  await sql`
    update pg_class set reltuples = reltuples * ${pretended / rows}::float8
    where oid in ('kairan.numbered'::regclass, 'kairan.notifications'::regclass)
      or oid in (select indexrelid from pg_index
        where indrelid in ('kairan.numbered'::regclass, 'kairan.notifications'::regclass))`
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
      const [root, ...below] = await least(session, query)
      const scanned = [root, ...below]
        .filter(node => node?.['Node Type'].includes('Seq Scan'))
        .map(node => node?.['Relation Name'])
        .filter(relation => logged.includes(relation ?? '') || !wholeOfScheduled.includes(name))
        .filter(relation => relation !== undefined)
      const whole = below.filter(
        node => wholeOfScheduled.includes(name) && node['Relation Name'] === 'scheduled',
      )
      const blocks = blocksOf(root) - whole.reduce((sum, node) => sum + blocksOf(node), 0)
      expect(scanned, name).toEqual([])
      expect(blocks, name).toBeLessThan(200)
    }
    session.release()
  },
  60_000 + rows / 10,
)
