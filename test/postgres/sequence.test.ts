import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type postgres from 'postgres'
import { migrated } from '../support/schema.ts'

type Ask = (text: TemplateStringsArray, n: number) => PromiseLike<unknown>

const publish = (sql: Ask, n: number) =>
  sql`select kairan.publish('all-users', jsonb_build_object('n', ${n}::int))`

const numbered = async (sql: postgres.Sql) => {
  const rows = await sql`
    select d.seq::int as seq, (n.payload ->> 'n')::int as n
    from kairan.deliveries d join kairan.notifications n on n.id = d.notification_id
    where d.seq is not null order by d.seq`
  return rows.map(({ seq, n }) => ({ seq, n }))
}

test('numbers in the order of commits, and only what is committed', async () => {
  await using db = await migrated()
  const slow = await db.sql.reserve()
  await slow`begin`
  await publish(slow, 1)
  await publish(db.sql, 2)
  await db.sql`select kairan.sequence()`
  expect(await numbered(db.sql)).toEqual([{ seq: 1, n: 2 }])

  await slow`commit`
  slow.release()
  await db.sql`select kairan.sequence()`
  expect(await numbered(db.sql)).toEqual([
    { seq: 1, n: 2 },
    { seq: 2, n: 1 },
  ])
})

test('lets one work at a time: another one goes away at once', async () => {
  await using db = await migrated()
  await publish(db.sql, 1)
  const [row] = await db.sql.begin(async tx => {
    await tx`select kairan.sequence()`
    return db.sql`select assigned, head from kairan.sequence()`
  })
  expect(row).toEqual({ assigned: null, head: null })
})

test('writes nothing when there is nothing to number', async () => {
  await using db = await migrated()
  await publish(db.sql, 1)
  await db.sql`select kairan.sequence()`
  const [row] = await db.sql`
    select (kairan.sequence()).assigned, pg_current_xact_id_if_assigned() as transaction`
  expect(row).toEqual({ assigned: 0, transaction: null })
})

test('goes on far above what another server may have given', async () => {
  await using db = await migrated()
  await publish(db.sql, 1)
  await db.sql`select kairan.sequence()`
  await db.sql`update kairan.log set server_started = server_started - interval '1 hour'`
  await publish(db.sql, 2)
  await db.sql`select kairan.sequence()`
  await publish(db.sql, 3)
  await db.sql`select kairan.sequence()`
  const jump = 2 ** 20
  expect(await numbered(db.sql)).toEqual([
    { seq: 1, n: 1 },
    { seq: jump + 2, n: 2 },
    { seq: jump + 3, n: 3 },
  ])
})

test('takes no more than it is told, in the order of insertion', async () => {
  await using db = await migrated()
  await db.sql.begin(async tx => {
    for (let n = 1; n <= 25; n++) await publish(tx, n)
  })
  const assigned: number[] = []
  for (let call = 0; call < 4; call++) {
    const [row] = await db.sql`select assigned from kairan.sequence(10)`
    assigned.push(row?.assigned)
  }
  expect(assigned).toEqual([10, 10, 5, 0])
  expect(await numbered(db.sql)).toEqual(
    Array.from({ length: 25 }, (_, index) => ({ seq: index + 1, n: index + 1 })),
  )
})

type Step = { writer: number; action: 'publish' | 'commit' | 'roll back' | 'sequence' }

const steps = fc.array(
  fc.record<Step>({
    writer: fc.integer({ min: 0, max: 2 }),
    action: fc.constantFrom('publish', 'publish', 'commit', 'roll back', 'sequence'),
  }),
  { minLength: 5, maxLength: 30 },
)

test('keeps what it gave, in the order of commits, whatever happens in between', async () => {
  await using db = await migrated()
  const writers = await Promise.all([1, 2, 3].map(() => db.sql.reserve()))
  let n = 0
  await fc.assert(
    fc.asyncProperty(steps, async plan => {
      await db.sql`delete from kairan.notifications`
      const [log] = await db.sql`select head::int as head from kairan.log`
      const start: number = log?.head
      // The model: what each writer has open, what is committed and not numbered, what is numbered.
      const open: number[][] = writers.map(() => [])
      let waiting: number[] = []
      const given: number[] = []
      for (const [index] of writers.entries()) await writers[index]?.unsafe('begin')
      const end = async (writer: number, word: 'commit' | 'rollback') => {
        await writers[writer]?.unsafe(`${word}; begin`)
        if (word === 'commit') waiting.push(...(open[writer] ?? []))
        open[writer] = []
      }
      for (const { writer, action } of plan) {
        const connection = writers[writer]
        if (action === 'publish' && connection) {
          n++
          await publish(connection, n)
          open[writer]?.push(n)
        } else if (action === 'sequence') {
          await db.sql`select kairan.sequence()`
          given.push(...waiting.toSorted((a, b) => a - b))
          waiting = []
        } else {
          await end(writer, action === 'commit' ? 'commit' : 'rollback')
        }
        const now = await numbered(db.sql)
        expect(now).toEqual(given.map((value, index) => ({ seq: start + index + 1, n: value })))
      }
      for (const connection of writers) await connection.unsafe('rollback')
    }),
    { numRuns: 40 },
  )
  for (const connection of writers) connection.release()
})

test('puts back what is to be delivered again, at new positions', async () => {
  await using db = await migrated()
  const [row] = await db.sql`select kairan.publish(array['user-1', 'all-users'], '{}') as id`
  await db.sql`select kairan.sequence()`
  await db.sql`
    update kairan.deliveries
    set status = 'delivered', recipients = 3, delivered_at = now(), error = 'x'`

  const [one] = await db.sql`select kairan.redeliver(${row?.id}, 'user-1') as changed`
  expect(one?.changed).toBe(1)
  await db.sql`select kairan.sequence()`
  expect(
    (
      await db.sql`select channel, status, recipients, error, delivered_at, seq::int from kairan.deliveries order by seq`
    ).map(row => ({ ...row })),
  ).toMatchObject([
    { channel: 'all-users', status: 'delivered', recipients: 3, seq: 2 },
    {
      channel: 'user-1',
      status: 'pending',
      recipients: 0,
      error: null,
      delivered_at: null,
      seq: 3,
    },
  ])
  const [all] = await db.sql`select kairan.redeliver(${row?.id}) as changed`
  expect(all?.changed).toBe(2)
  const [none] = await db.sql`select kairan.redeliver(gen_random_uuid()) as changed`
  expect(none?.changed).toBe(0)
})
