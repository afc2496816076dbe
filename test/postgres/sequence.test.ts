import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type postgres from 'postgres'
import { eventually } from '../support/eventually.ts'
import { sequence } from '../support/log.ts'
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
  await sequence(db.sql)
  expect(await numbered(db.sql)).toEqual([{ seq: 1, n: 2 }])

  await slow`commit`
  slow.release()
  await sequence(db.sql)
  expect(await numbered(db.sql)).toEqual([
    { seq: 1, n: 2 },
    { seq: 2, n: 1 },
  ])
})

test('lets one work at a time: another one goes away at once', async () => {
  await using db = await migrated()
  await publish(db.sql, 1)
  const [row] = await db.sql.begin(async tx => {
    await sequence(tx)
    return [await sequence(db.sql)]
  })
  expect(row).toEqual({ assigned: null, head: null })
})

test('gives the same numbers again when a call is rolled back', async () => {
  await using db = await migrated()
  await publish(db.sql, 1)
  await db.sql
    .begin(async tx => {
      await sequence(tx)
      throw new Error('roll back')
    })
    .catch(() => undefined)
  expect(await numbered(db.sql)).toEqual([])
  await publish(db.sql, 2)
  await sequence(db.sql)
  expect(await numbered(db.sql)).toEqual([
    { seq: 1, n: 1 },
    { seq: 2, n: 2 },
  ])
})

test('does not wait for a transaction that has changed what is not numbered yet', async () => {
  await using db = await migrated()
  for (const n of [1, 2, 3]) await publish(db.sql, n)
  const slow = await db.sql.reserve()
  await slow`begin`
  await slow`select kairan.redeliver(id) from kairan.notifications where payload = '{"n": 1}'`
  await slow`delete from kairan.notifications where payload = '{"n": 2}'`

  // It ends a test that has failed.
  const number = () =>
    db.sql.begin(async tx => {
      await tx`set local statement_timeout = '5s'`
      return sequence(tx)
    })
  // What is not committed has not happened.
  expect(await number()).toEqual({ assigned: 3, head: 3 })
  expect(await number()).toEqual({ assigned: 0, head: 3 })
  expect(await numbered(db.sql)).toEqual([
    { seq: 1, n: 1 },
    { seq: 2, n: 2 },
    { seq: 3, n: 3 },
  ])

  await slow`commit`
  slow.release()
  expect(await number()).toEqual({ assigned: 0, head: 3 })
  expect(await numbered(db.sql)).toEqual([
    { seq: 1, n: 1 },
    { seq: 3, n: 3 },
  ])
})

test('has what it numbered on disk before anyone sees it, whatever the session says', async () => {
  await using db = await migrated()
  await publish(db.sql, 1)
  const setting = await db.sql.begin(async tx => {
    await tx`set local synchronous_commit = off`
    await sequence(tx)
    const [row] = await tx`show synchronous_commit`
    return row?.synchronous_commit
  })
  expect(setting).toBe('on')
})

test('keeps every number, without a hole, while eight write and three number', async () => {
  await using db = await migrated()
  const rounds = 25
  const committed: number[] = []
  let writing = true
  const write = async (writer: number) => {
    for (let round = 0; round < rounds; round++) {
      const numbers = Array.from(
        { length: 1 + (round % 3) },
        (_, i) => writer * 1000 + round * 10 + i,
      )
      await db.sql
        .begin(async tx => {
          for (const n of numbers) await publish(tx, n)
          if ((writer + round) % 4 === 0) throw new Error('roll back')
        })
        .then(
          () => committed.push(...numbers),
          () => undefined,
        )
    }
  }
  /** Reads on from the last that it saw, as an instance does: what it missed, it would miss for ever. */
  const number = async () => {
    const seen: { seq: number; n: number }[] = []
    const read = async () => {
      const state = await sequence(db.sql, 7)
      const rows = await db.sql`
        select d.seq::int as seq, (n.payload ->> 'n')::int as n
        from kairan.deliveries d join kairan.notifications n on n.id = d.notification_id
        where d.seq > ${seen.at(-1)?.seq ?? 0} order by d.seq`
      for (const { seq, n } of rows) seen.push({ seq, n })
      return state.assigned !== 0 || rows.length > 0
    }
    while (writing) await read()
    while (await read());
    return seen
  }
  const readers = [number(), number(), number()]
  await Promise.all(Array.from({ length: 8 }, (_, writer) => write(writer)))
  writing = false

  const seen = await Promise.all(readers)
  const rows = await numbered(db.sql)
  for (const one of seen) expect(one).toEqual(rows)
  expect(rows.map(({ seq }) => seq)).toEqual(committed.map((_, index) => index + 1))
  expect(rows.map(({ n }) => n).toSorted(ascending)).toEqual(committed.toSorted(ascending))
})

test('writes nothing when there is nothing to number', async () => {
  await using db = await migrated()
  await publish(db.sql, 1)
  await sequence(db.sql)
  const [row] = await db.sql`
    select (state ->> 'assigned')::int as assigned, pg_current_xact_id_if_assigned() as transaction
    from kairan.number()`
  expect(row).toEqual({ assigned: 0, transaction: null })

  // Nor does it ring: instances that wake each other would never rest.
  const heard: string[] = []
  await db.sql.listen('kairan_log', payload => heard.push(payload))
  await sequence(db.sql)
  await db.sql.notify('kairan_log', 'end')
  await eventually(() => heard.includes('end'))
  expect(heard).toEqual(['end'])
})

test('goes on far above what another server may have given', async () => {
  await using db = await migrated()
  await publish(db.sql, 1)
  await sequence(db.sql)
  await db.sql`update kairan.log_state set server_started = server_started - interval '1 hour'`
  await publish(db.sql, 2)
  await sequence(db.sql)
  await publish(db.sql, 3)
  await sequence(db.sql)
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
    const row = await sequence(db.sql, 10)
    assigned.push(row.assigned)
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
          await sequence(db.sql)
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
  await sequence(db.sql)
  await db.sql`
    update kairan.numbered
    set status = 'd', recipients = 3, delivered_at = now(), error = 'x'`

  const [one] = await db.sql`select kairan.redeliver(${row?.id}, 'user-1') as changed`
  expect(one?.changed).toBe(1)
  await sequence(db.sql)
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

const ascending = (a: number, b: number) => a - b
