import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type postgres from 'postgres'
import type { TestDatabase } from '../support/database.ts'
import { sequence } from '../support/log.ts'
import { type Step as PlanStep, plansOf } from '../support/plans.ts'
import { migrated } from '../support/schema.ts'

type Row = { n: number; seq: number }

/** What has a position, in its order. */
const numbered = async ({ sql }: TestDatabase): Promise<Row[]> => {
  const rows = await sql`
    select (n.payload ->> 'n')::int as n, d.seq::int as seq
    from kairan.numbered d join kairan.notifications n on n.id = d.notification_id order by d.seq`
  return rows.map(({ n, seq }) => ({ n, seq }))
}

const waiting = async (sql: postgres.Sql | postgres.ReservedSql): Promise<number[]> => {
  const rows = await sql`
    select (n.payload ->> 'n')::int as n
    from kairan.deliveries d join kairan.notifications n on n.id = d.notification_id
    where d.status = 'pending' and d.seq is null`
  return rows.map(({ n }) => n).toSorted((a, b) => a - b)
}

const writers = 3
const actions = [
  'publish',
  'publish',
  'insert many',
  'savepoint',
  'roll back to savepoint',
  'release savepoint',
  'commit',
  'roll back',
  'number',
  'number a piece',
  'other write',
  'prepare',
  'commit prepared',
  'roll back prepared',
] as const

type Step = PlanStep<(typeof actions)[number]>

const plan = plansOf(actions, { writers, maxLength: 40 })

/** What random plans may happen to leave out. */
const atLeast: Step[] = (
  [
    [0, 'insert many'],
    [1, 'publish'],
    [0, 'commit'],
    [0, 'number a piece'],
    [1, 'prepare'],
    [0, 'number a piece'],
    [2, 'publish'],
    [0, 'number a piece'],
    [0, 'commit prepared'],
    [0, 'number'],
    [2, 'commit'],
    [0, 'number'],
  ] as const
).map(([writer, action]) => ({ writer, action }))

/** A transaction in the model: what it published, and what it had published at its savepoints. */
type Open = { rows: number[]; savepoints: number[] }

test('whatever transactions do between two looks, what is committed is numbered once, in order, and seen as pending before', async () => {
  await using db = await migrated()
  const connections = await Promise.all(Array.from({ length: writers }, () => db.sql.reserve()))
  let n = 0
  let piecesLeft = 0
  let preparedCount = 0
  await fc.assert(
    fc.asyncProperty(plan, async steps => {
      await db.sql`delete from kairan.notifications`
      await db.sql`truncate kairan.numbered`
      while ((await sequence(db.sql)).assigned !== 0);
      const [log] = await db.sql`select head::int as head from kairan.log`
      let head: number = log?.head
      const open: (Open | null)[] = connections.map(() => null)
      const prepared = new Map<string, number[]>()
      /** Committed and not numbered: what is part of a difference that is taken piece by piece, and the rest. */
      let target: number[] = []
      let committed: number[] = []
      const given: Row[] = []

      for (const { writer, action } of steps) {
        const sql = connections[writer]
        if (!sql) throw new Error('No such writer')
        const transaction = open[writer]
        const begin = async (): Promise<Open> => {
          if (open[writer]) return open[writer]
          // A transaction that rings can't be prepared: see docs/guarantees.md.
          await sql.unsafe(`begin; set local kairan.bell = 'off'`)
          const begun = { rows: [], savepoints: [] }
          open[writer] = begun
          return begun
        }
        if (action === 'publish') {
          const { rows } = await begin()
          rows.push(++n)
          await sql`select kairan.publish('all-users', jsonb_build_object('n', ${n}::int))`
        } else if (action === 'insert many') {
          const { rows } = await begin()
          const first = n + 1
          n += 5
          for (let i = first; i <= n; i++) rows.push(i)
          await sql`
            insert into kairan.notifications (channels, payload)
            select '{all-users}', jsonb_build_object('n', i) from generate_series(${first}::int, ${n}::int) i`
        } else if (action === 'savepoint') {
          const { rows, savepoints } = await begin()
          savepoints.push(rows.length)
          await sql.unsafe(`savepoint s${savepoints.length}`)
        } else if (action === 'roll back to savepoint' && transaction?.savepoints.length) {
          await sql.unsafe(`rollback to savepoint s${transaction.savepoints.length}`)
          transaction.rows.length = transaction.savepoints.at(-1) ?? 0
        } else if (action === 'release savepoint' && transaction?.savepoints.length) {
          await sql.unsafe(`release savepoint s${transaction.savepoints.length}`)
          transaction.savepoints.pop()
        } else if ((action === 'commit' || action === 'roll back') && transaction) {
          await sql.unsafe(action === 'commit' ? 'commit' : 'rollback')
          if (action === 'commit') committed.push(...transaction.rows)
          open[writer] = null
        } else if (action === 'prepare' && transaction) {
          const name = `test-${crypto.randomUUID()}`
          await sql.unsafe(`prepare transaction '${name}'`)
          prepared.set(name, transaction.rows)
          preparedCount++
          open[writer] = null
        } else if (action === 'commit prepared' || action === 'roll back prepared') {
          const [[name, rows] = []] = prepared
          if (name === undefined || rows === undefined) continue
          await db.sql.unsafe(
            `${action === 'commit prepared' ? 'commit' : 'rollback'} prepared '${name}'`,
          )
          if (action === 'commit prepared') committed.push(...rows)
          prepared.delete(name)
        } else if (action === 'other write') {
          await db.sql`update kairan.locks set purpose = purpose where name = 'pruning'`
        } else if (action === 'number' || action === 'number a piece') {
          const most = action === 'number' ? 1000 : 3
          if (target.length === 0) {
            target = committed
            committed = []
          }
          // By the place drawn at insertion, which the numbers of the payloads follow.
          target.sort((a, b) => a - b)
          const piece = target.splice(0, most)
          const { assigned } = await sequence(db.sql, most)
          expect(assigned).toBe(piece.length)
          if (target.length > 0) piecesLeft++
          for (const value of piece) given.push({ n: value, seq: ++head })
        }
        expect(await numbered(db)).toEqual(given)
        const unnumbered = [...target, ...committed].toSorted((a, b) => a - b)
        expect(await waiting(db.sql)).toEqual(unnumbered)
        const own = open[writer]
        if (own && sql) {
          expect(await waiting(sql)).toEqual([...unnumbered, ...own.rows].toSorted((a, b) => a - b))
        }
      }
      for (const [writer, sql] of connections.entries()) if (open[writer]) await sql`rollback`
      for (const name of prepared.keys()) await db.sql.unsafe(`rollback prepared '${name}'`)
    }),
    { numRuns: 12, endOnFailure: true, examples: [[atLeast]] },
  )
  expect(piecesLeft).toBeGreaterThan(0)
  expect(preparedCount).toBeGreaterThan(0)
  for (const connection of connections) connection.release()
}, 120_000)

test('a large COPY is numbered in pieces, in order, and what is committed meanwhile comes after it', async () => {
  await using db = await migrated()
  const rows = 30_000
  await db.sql.unsafe(`
    create table source (n int); insert into source select generate_series(1, ${rows})`)
  await db.sql.begin(async tx => {
    await tx`
      insert into kairan.notifications (channels, payload)
      select '{all-users}', jsonb_build_object('n', n) from source order by n`
    // Begins after the large one has, and ends before it: another snapshot in between.
    await db.sql`select kairan.publish('all-users', '{"n": -1}')`
    await sequence(db.sql)
  })
  let pieces = 0
  for (;;) {
    const { assigned } = await sequence(db.sql, 4000)
    if (assigned === 0) break
    pieces++
    if (pieces === 3) await db.sql`select kairan.publish('all-users', '{"n": -2}')`
  }
  expect(pieces).toBeGreaterThan(rows / 4000)
  const got = await numbered(db)
  expect(got.map(({ n }) => n)).toEqual([-1, ...Array.from({ length: rows }, (_, i) => i + 1), -2])
  expect(got.map(({ seq }) => seq)).toEqual(got.map((_, i) => i + 1))
}, 60_000)

test('many with many channels each are numbered in pieces that look at few of them', async () => {
  await using db = await migrated()
  // First those with a hundred channels, then all kinds, so that a piece is too large, or too small.
  await db.sql`
    insert into kairan.notifications (channels, payload)
    select array(select 'org-' || c from generate_series(1, case when n <= 150 then 100 else 1 + n * 37 % 60 end) c),
      jsonb_build_object('n', n)
    from generate_series(1, 250) n`
  const looked = async () => {
    await db.sql`select pg_stat_force_next_flush()`
    const [row] = await db.sql`
      select idx_tup_fetch::int as rows from pg_stat_user_tables where relid = 'kairan.notifications'::regclass`
    return row?.rows ?? 0
  }
  const sql = await db.sql.reserve()
  const before = await looked()
  while ((await sequence(sql, 200)).assigned !== 0);
  await sql`select pg_stat_force_next_flush()`
  sql.release()
  const wrong = await db.sql`
    select n.place from kairan.notifications n
    where cardinality(n.channels) <> (select count(*) from kairan.numbered d where d.notification_id = n.id)`
  expect(wrong).toHaveLength(0)
  const got = await numbered(db)
  expect(got.map(({ n }) => n)).toEqual(got.map(({ n }) => n).toSorted((a, b) => a - b))
  expect(got.map(({ seq }) => seq)).toEqual(got.map((_, i) => i + 1))
  // Without a bound each of a hundred pieces looks at all that are left.
  const rows = (await looked()) - before
  expect(rows).toBeLessThan(9000)
}, 60_000)

test('a transaction that stays open costs the others one look, and comes when it commits', async () => {
  await using db = await migrated()
  const slow = await db.sql.reserve()
  await slow`begin`
  await slow`
    insert into kairan.notifications (channels, payload)
    select '{all-users}', jsonb_build_object('n', n) from generate_series(1, 20000) n`
  await db.sql`select kairan.publish('all-users', '{"n": 0}')`
  await sequence(db.sql)
  // From now on it is known as open: its rows are not looked at again.
  const [before] =
    await db.sql`select idx_tup_fetch::int as n from pg_stat_user_tables where relname = 'notifications'`
  for (let i = 0; i < 20; i++) await sequence(db.sql)
  await db.sql`select pg_stat_force_next_flush()`
  const [after] =
    await db.sql`select idx_tup_fetch::int as n from pg_stat_user_tables where relname = 'notifications'`
  expect(after?.n - before?.n).toBeLessThan(25_000)
  await slow`commit`
  slow.release()
  expect(await sequence(db.sql, 100_000)).toEqual({ assigned: 20_000, head: 20_001 })
}, 60_000)

/** As after a restore into another cluster: the ids in the tables are of that one. */
const moveFrom = async ({ sql }: TestDatabase, cluster: string) => {
  await sql`
    update kairan.log_state set cluster = ${cluster}, server_started = server_started - interval '1 hour'`
}

test('in another cluster everything is numbered once, whatever ids it had in the old one', async () => {
  await using db = await migrated()
  const publish = (n: number) =>
    db.sql`select kairan.publish(array['all-users', 'user-1'], jsonb_build_object('n', ${n}::int))`
  for (const n of [1, 2, 3]) await publish(n)
  await sequence(db.sql)
  for (const n of [4, 5]) await publish(n)
  await db.sql`select kairan.redeliver(id, 'user-1') from kairan.notifications where payload = '{"n": 1}'`

  // Ids that this cluster has yet to reach, some of them soon; the last batch knows only the other's.
  const [now] = await db.sql`select pg_current_xact_id()::text::bigint::int as xid`
  await db.sql`
    update kairan.notifications
    set xid = (${now?.xid}::int + (payload ->> 'n')::int * 3)::text::xid8`
  await db.sql`update kairan.redeliveries set xid = (${now?.xid}::int + 5)::text::xid8`
  await db.sql`
    update kairan.batches set done = '1000000000:1000000000:'::pg_snapshot
    where n = (select max(n) from kairan.batches)`
  await db.sql`insert into kairan.user_changes (xid, change) values ('1000000', '{}')`
  // A transaction of this cluster that began before anybody numbers here, and one that is committed.
  const slow = await db.sql.reserve()
  await slow`begin`
  await slow`select kairan.publish('all-users', '{"n": 100}')`
  await publish(6)
  await moveFrom(db, 'another')

  for (let i = 0; i < 4; i++) await sequence(db.sql)
  await slow`commit`
  slow.release()
  for (let n = 7; n < 25; n++) {
    await publish(n)
    await sequence(db.sql)
  }
  for (let i = 0; i < 3; i++) await sequence(db.sql)
  const got = await numbered(db)
  const counts = new Map<number, number>()
  for (const { n } of got) counts.set(n, (counts.get(n) ?? 0) + 1)
  const twice = Array.from({ length: 24 }, (_, i) => [i + 1, 2])
  expect([...counts].toSorted(([a], [b]) => a - b)).toEqual([...twice, [100, 1]] as [
    number,
    number,
  ][])
  // Far above what the other cluster may have given.
  expect(got.filter(({ n }) => n > 3).every(({ seq }) => seq > 2 ** 20)).toBe(true)
  expect(await db.sql`select from kairan.user_changes`).toHaveLength(0)
}, 60_000)

test('a copy of the rows alone, whose sequence was left behind, is numbered as well', async () => {
  await using db = await migrated()
  await db.sql`
    insert into kairan.notifications (channels, payload)
    select '{all-users}', jsonb_build_object('n', n) from generate_series(1, 50) n`
  await db.sql`update kairan.notifications set xid = '1000000000'`
  await db.sql`select setval('kairan.notifications_place_seq', 1)`
  await db.sql`select kairan.publish('all-users', '{"n": 51}')`
  await moveFrom(db, 'another')
  for (let i = 0; i < 5; i++) await sequence(db.sql)
  await db.sql`select kairan.publish('all-users', '{"n": 52}')`
  for (let i = 0; i < 3; i++) await sequence(db.sql)
  const got = await numbered(db)
  expect(got.map(({ n }) => n).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 52 }, (_, i) => i + 1),
  )
}, 60_000)

test('after a restart in the same cluster nothing is looked through again', async () => {
  await using db = await migrated()
  await db.sql`select kairan.publish('all-users', '{"n": 1}')`
  await sequence(db.sql)
  await db.sql`update kairan.log_state set server_started = server_started - interval '1 hour'`
  await db.sql`select kairan.publish('all-users', '{"n": 2}')`
  expect(await sequence(db.sql)).toMatchObject({ assigned: 1 })
  expect(await numbered(db)).toEqual([
    { n: 1, seq: 1 },
    { n: 2, seq: 2 ** 20 + 2 },
  ])
})

test('numbers at READ COMMITTED only: an older snapshot would not know the last batch', async () => {
  await using db = await migrated()
  await db.sql`select kairan.publish('all-users', '{"n": 1}')`
  const attempt = db.sql.begin('isolation level repeatable read', tx => tx`select kairan.number()`)
  await expect(attempt).rejects.toMatchObject({ code: '25000' })
})

test('a change of a user is removed ten minutes after its transaction, however old the change is', async () => {
  await using db = await migrated()
  const long = await db.sql.reserve()
  await long`begin`
  await long`select kairan.reauthorize('1')`
  await db.sql`select kairan.reauthorize('2')`
  await db.sql`update kairan.user_changes set created_at = now() - interval '1 day'`
  await long`update kairan.user_changes set created_at = now() - interval '1 day'`
  await db.sql`select kairan.publish('user-1', '{}')`
  await db.sql`select from kairan.number()`
  // The oldest batch that is kept has seen the second change.
  await db.sql`delete from kairan.batches where n < (select max(n) from kairan.batches)`
  await long`commit`
  const left = async () => {
    const rows = await db.sql`select change ->> 'userId' as user from kairan.user_changes`
    return rows.map(row => String(row.user))
  }
  await db.sql`select kairan.prune_user_changes()`
  expect(await left()).toEqual(['1'])
  await db.sql`select kairan.publish('user-1', '{}')`
  await db.sql`select from kairan.number()`
  await db.sql`delete from kairan.batches where n < (select max(n) from kairan.batches)`
  await db.sql`select kairan.prune_user_changes()`
  expect(await left()).toEqual([])
  long.release()
})
