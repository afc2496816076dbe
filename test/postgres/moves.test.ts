import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { sequence } from '../support/log.ts'
import { type Step as PlanStep, plansOf } from '../support/plans.ts'
import { migrated } from '../support/schema.ts'

const writers = 3
const actions = [
  'publish',
  'publish',
  'redeliver',
  'withdraw',
  'commit',
  'commit',
  'roll back',
  'number',
  'number a piece',
  'other write',
  'restart',
  'move',
] as const

type Step = PlanStep<(typeof actions)[number]>

const plan = plansOf(actions, { writers, maxLength: 50 })

const example = (...steps: [number, (typeof actions)[number]][]): [Step[]] => [
  steps.map(([writer, action]) => ({ writer, action })),
]

/** What a transaction has published, and the notification that it delivers again. */
type Open = { published: number[]; held: number | null; withdraws: boolean }

test('what transactions do while Postgres is started anew or another one takes over is numbered once each', async () => {
  await using db = await migrated()
  const connections = await Promise.all(Array.from({ length: writers }, () => db.sql.reserve()))
  let n = 0
  /** Its deliveries as everybody sees them, how often each, and those that have a position. */
  const look = async () => {
    const rows = await db.sql<{ name: string; seq: number | null }[]>`
      select (n.payload ->> 'n') || ' ' || d.channel as name, d.seq::float8 as seq
      from kairan.deliveries d join kairan.notifications n on n.id = d.notification_id`
    return rows.map(({ name, seq }) => ({ name, seq }))
  }
  await fc.assert(
    fc.asyncProperty(plan, async steps => {
      await db.sql`delete from kairan.notifications`
      await db.sql`delete from kairan.redeliveries`
      while ((await sequence(db.sql)).assigned !== 0);
      const open: (Open | null)[] = connections.map(() => null)
      const committed: number[] = []
      /** What had been committed when each was published, and so comes before it. */
      const earlier = new Map<number, number[]>()
      const redelivered = new Set<number>()
      const ended = async ({ published, held, withdraws }: Open) => {
        committed.push(...published)
        // As each instance does that hears of it.
        if (withdraws)
          await db.sql`
            select kairan.fail_withdrawn(array_agg(id)) from kairan.notifications
            where payload = jsonb_build_object('n', ${held}::int)`
      }
      const expected = () => committed.flatMap(n => [`${n} all-users`, `${n} user-1`]).toSorted()

      for (const { writer, action } of steps) {
        const sql = connections[writer]
        if (!sql) throw new Error('No such writer')
        const transaction = open[writer]
        const begin = async () => {
          if (open[writer]) return open[writer]
          await sql`begin`
          const begun: Open = { published: [], held: null, withdraws: false }
          open[writer] = begun
          return begun
        }
        if (action === 'publish') {
          const { published } = await begin()
          published.push(++n)
          earlier.set(n, [...committed])
          await sql`
            select kairan.publish(array['all-users', 'user-1'], jsonb_build_object('n', ${n}::int))`
        } else if (action === 'redeliver' || action === 'withdraw') {
          const one = committed.at(-1)
          // It would wait for another one that does.
          if (one === undefined || open.some(other => other?.held === one)) continue
          const begun = await begin()
          if (begun.held !== null) continue
          begun.held = one
          begun.withdraws = action === 'withdraw'
          if (action === 'redeliver') redelivered.add(one)
          await (action === 'redeliver'
            ? sql`
                select kairan.redeliver(id, 'user-1') from kairan.notifications
                where payload = jsonb_build_object('n', ${one}::int)`
            : sql`
                select kairan.withdraw(id) from kairan.notifications
                where payload = jsonb_build_object('n', ${one}::int)`)
        } else if ((action === 'commit' || action === 'roll back') && transaction) {
          await sql.unsafe(action === 'commit' ? 'commit' : 'rollback')
          open[writer] = null
          if (action === 'commit') await ended(transaction)
        } else if (action === 'number' || action === 'number a piece') {
          const before = await look()
          await sequence(db.sql, action === 'number' ? 1000 : 3)
          // Who reads on from the last position misses nothing.
          const last = Math.max(0, ...before.map(({ seq }) => seq ?? 0))
          const had = new Set(before.map(({ seq }) => seq))
          for (const { seq } of await look())
            if (seq !== null && !had.has(seq)) expect(seq).toBeGreaterThan(last)
        } else if (action === 'other write') {
          await db.sql`update kairan.locks set purpose = purpose where name = 'pruning'`
        } else if (action === 'restart') {
          await db.sql`update kairan.log_state set server_started = server_started - interval '1 s'`
        } else if (action === 'move') {
          await db.sql`
            update kairan.log_state
            set cluster = ${crypto.randomUUID()}, server_started = server_started - interval '1 s'`
        }
        const [log] = await db.sql`
          select done is not null as known from kairan.batches order by n desc limit 1`
        // While it is found out what has a position already, what is delivered again is not looked for.
        if (log?.known)
          expect((await look()).map(({ name }) => name).toSorted()).toEqual(expected())
      }
      for (const [writer, sql] of connections.entries()) {
        const transaction = open[writer]
        if (!transaction) continue
        await sql`commit`
        await ended(transaction)
      }
      for (let turn = 0; turn < 10; turn++) await sequence(db.sql)
      const end = await look()
      expect(end.map(({ name }) => name).toSorted()).toEqual(expected())
      expect(end.filter(({ seq }) => seq === null)).toEqual([])
      expect(new Set(end.map(({ seq }) => seq)).size).toBe(end.length)
      const places = new Map(end.map(({ name, seq }) => [name, seq ?? 0]))
      for (const [n, others] of earlier) {
        const place = places.get(`${n} all-users`) ?? Number.POSITIVE_INFINITY
        for (const other of others)
          if (!redelivered.has(other)) expect(places.get(`${other} user-1`)).toBeLessThan(place)
      }
      const wrong = await db.sql`
        select from kairan.notifications n join kairan.numbered d on d.notification_id = n.id
        where n.expires_at = '-infinity' and (d.status, d.error) is distinct from ('f', 'withdrawn')`
      expect(wrong).toHaveLength(0)
    }),
    {
      numRuns: 30,
      endOnFailure: true,
      examples: [
        // The newest transaction of all is open when the log is taken over.
        example([0, 'move'], [0, 'publish'], [1, 'number'], [1, 'number'], [0, 'commit']),
        // One ends when places beyond its own have been looked at, and then another one publishes.
        example(
          [0, 'publish'],
          [1, 'publish'],
          [1, 'publish'],
          [1, 'publish'],
          [1, 'publish'],
          [1, 'commit'],
          [2, 'move'],
          [2, 'number a piece'],
          [2, 'number a piece'],
          [0, 'commit'],
          [2, 'publish'],
          [2, 'commit'],
          [1, 'number'],
          [1, 'number'],
        ),
        // One of two deliveries is just being taken out, to be delivered again.
        example(
          [0, 'publish'],
          [0, 'commit'],
          [1, 'number'],
          [0, 'redeliver'],
          [1, 'other write'],
          [1, 'move'],
          [1, 'number'],
          [1, 'number'],
          [0, 'commit'],
        ),
      ],
    },
  )
  for (const connection of connections) connection.release()
}, 120_000)

test('what came from another cluster is numbered in pieces, each of which reads as much as it numbers', async () => {
  await using db = await migrated()
  await db.sql`
    insert into kairan.notifications (channels, payload)
    select array(select 'org-' || c from generate_series(1, 100) c), '{}' from generate_series(1, 100)`
  await db.sql`
    insert into kairan.notifications (channels, payload)
    select '{user-1}', '{}' from generate_series(1, 20000)`
  await db.sql`
    update kairan.log_state set cluster = 'another', server_started = server_started - interval '1 hour'`

  const numbered: number[] = []
  const read = await db.sql.begin(async sql => {
    const fetched = async () => {
      const [row] = await sql<{ fetched: number }[]>`
        select idx_tup_fetch::float8 as fetched from pg_stat_xact_user_tables
        where relid = 'kairan.notifications'::regclass`
      return row?.fetched ?? 0
    }
    // In one transaction, where such counters are exact. Its first call has no id yet.
    const looks: number[] = []
    await db.sql`select from kairan.number()`
    for (let left = 2; left > 0; ) {
      const before = await fetched()
      const [state] = await sql`select state from kairan.number() limit 1`
      looks.push((await fetched()) - before)
      const [log] = await sql`select count(*)::int as rows from kairan.numbered`
      numbered.push((log?.rows ?? 0) - numbered.reduce((sum, rows) => sum + rows, 0))
      if (!state?.state.more) left--
    }
    return looks
  })
  expect(numbered.reduce((sum, rows) => sum + rows, 0)).toBe(30_000)
  expect(Math.max(...numbered)).toBeLessThan(4100)
  expect(Math.max(...read)).toBeLessThan(9000)
}, 60_000)

test('what is delivered again while what came from another cluster is looked through comes once', async () => {
  await using db = await migrated()
  await db.sql`
    insert into kairan.notifications (channels, payload)
    select '{user-1,all-users}', '{}' from generate_series(1, 3000)`
  while ((await sequence(db.sql, 10_000)).assigned !== 0);
  // As a copy of the rows alone, all of which has to be looked through.
  await db.sql`
    update kairan.log_state
    set cluster = 'another', server_started = server_started - interval '1 hour', since_place = -1`
  for (let call = 0; call < 2; call++) await sequence(db.sql)
  const [log] = await db.sql`select done from kairan.batches order by n desc limit 1`
  expect(log?.done).toBeNull()
  await db.sql`
    select kairan.redeliver(id) from kairan.notifications
    where place = (select max(place) from kairan.notifications)`
  for (let call = 0; call < 10; call++) await sequence(db.sql)
  const [found] = await db.sql`
    select count(*)::int as rows, count(distinct (notification_id, channel))::int as deliveries
    from kairan.deliveries where seq is not null`
  expect(found).toEqual({ rows: 6000, deliveries: 6000 })
}, 60_000)

test('a log that has never had anything goes on in another cluster', async () => {
  await using db = await migrated()
  await db.sql`
    update kairan.log_state set cluster = 'another', server_started = server_started - interval '1 hour'`
  for (let call = 0; call < 3; call++) await sequence(db.sql)
  await db.sql`select kairan.publish('user-1', '{}')`
  expect(await sequence(db.sql)).toEqual({ assigned: 1, head: 2 ** 20 + 1 })
})
