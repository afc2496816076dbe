import { expect, test } from 'bun:test'
import fc from 'fast-check'
import postgres from 'postgres'
import { sequence } from '../support/log.ts'
import { migrated } from '../support/schema.ts'

/** So many transactions that pieces of what they published have an end. */
const writers = 24
/** Each as `[writer, rows]`: who publishes next, and how many. The last one commits each time, and begins later. */
type Plan = [number, number][]

const publishing = fc.array(
  fc.tuple(
    fc.nat({ max: writers }),
    fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 60 })),
  ),
  { minLength: 30, maxLength: 90 },
)

/** Transactions that are open in one look and have ended in the next, as the plan has it. */
const world = async () => {
  const stack = new AsyncDisposableStack()
  const db = stack.use(await migrated())
  const client = postgres(db.url, { max: writers, onnotice: () => undefined })
  stack.defer(() => client.end({ timeout: 1 }))
  const connections = await Promise.all(Array.from({ length: writers }, () => client.reserve()))
  stack.defer(() => {
    for (const connection of connections) connection.release()
  })
  let n = 0
  const insert = (sql: postgres.Sql | postgres.ReservedSql, rows: number) => {
    n += rows
    return sql`
      insert into kairan.notifications (channels, payload)
      select '{user-1}', jsonb_build_object('n', i) from generate_series(${n - rows + 1}::int, ${n}::int) i`
  }
  return {
    db,
    insert,
    /** Publishes as planned, and commits all but those that roll back. Resolves with what is to be numbered. */
    async publish(plan: Plan, rollBack: number[] = []) {
      const lists = Array.from({ length: writers + 1 }, (): number[] => [])
      const half = plan.length / 2
      const look = async () => {
        await db.sql`select pg_current_xact_id()`
        await insert(db.sql, 1)
        await sequence(db.sql)
      }
      for (const sql of connections) {
        await sql`begin`
        await sql`select pg_current_xact_id()`
      }
      for (const [step, [writer, rows]] of plan.entries()) {
        // Twice, so that all of them are known as open, and their places are below what is looked through.
        if (step === Math.ceil(half)) for (let times = 0; times < 2; times++) await look()
        if (step < half && writer === writers) continue
        await insert(connections[writer] ?? db.sql, rows)
        for (let i = n - rows + 1; i <= n; i++) lists[writer]?.push(i)
      }
      for (const [writer, sql] of connections.entries())
        await sql.unsafe(rollBack.includes(writer) ? 'rollback' : 'commit')
      return lists.flatMap((list, writer) => (rollBack.includes(writer) ? [] : list))
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

test('what many transactions published in turns, and ended together, is numbered once and in order, piece by piece', async () => {
  await using it = await world()
  const { sql } = it.db
  await fc.assert(
    fc.asyncProperty(
      publishing,
      fc.uniqueArray(fc.nat({ max: writers - 1 }), { maxLength: 4 }),
      fc.integer({ min: 3, max: 40 }),
      async (plan, rollBack, most) => {
        await sql`delete from kairan.notifications`
        const expected = (await it.publish(plan, rollBack)).toSorted((a, b) => a - b)
        const [log] = await sql`select head from kairan.log`
        // One that is delivered again is part of it, and comes at its place: last.
        const [again] = await sql`
          select (n.payload ->> 'n')::int as n, kairan.redeliver(n.id) from kairan.notifications n
          join kairan.numbered d on d.notification_id = n.id limit 1`
        for (let left = 500; left > 0; left--) {
          const [row] = await sql`select state from kairan.number(${most}::int) limit 1`
          if (!row?.state.more) break
        }
        const rows = await sql`
          select (n.payload ->> 'n')::int as n
          from kairan.numbered d join kairan.notifications n on n.id = d.notification_id
          where d.seq > ${log?.head} order by d.seq`
        expect(rows.map(row => Number(row.n))).toEqual([...expected, Number(again?.n)])
      },
    ),
    { numRuns: 8, endOnFailure: true },
  )
}, 60_000)

test('a piece of what many transactions published looks at few of each', async () => {
  await using it = await world()
  // One after the other, each much more than fits into a piece.
  const plan = Array.from({ length: writers }, (_, writer): [number, number] => [writer, 300])
  await it.publish(plan)
  const read = await it.db.sql.begin(async sql => {
    const looks: number[] = []
    for (let before = 0; ; ) {
      const [row] = await sql`select state from kairan.number(50) limit 1`
      const [at] = await sql<{ fetched: number }[]>`
        select idx_tup_fetch::float8 as fetched from pg_stat_xact_user_tables
        where relid = 'kairan.notifications'::regclass`
      looks.push((at?.fetched ?? 0) - before)
      before = at?.fetched ?? 0
      if (!row?.state.more) return looks
    }
  })
  expect(read.length).toBeGreaterThan((writers * 300) / 52)
  expect(Math.max(...read)).toBeLessThan(500)
}, 60_000)
