import { expect, test } from 'bun:test'
import type { TestDatabase } from '../support/database.ts'
import { dispatch, publishMany } from '../support/dispatcher.ts'
import { eventually } from '../support/eventually.ts'
import { migrated } from '../support/schema.ts'

/** Whether publishers know that an instance is awake. */
const awake = async ({ sql }: TestDatabase) => {
  const [row] = await sql<{ awake: boolean }[]>`
    select pg_sequence_last_value('kairan.awake_until') > date_part('epoch', clock_timestamp()) * 1000000 as awake`
  return row?.awake === true
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

/** Publishes in many transactions at once until the dispatcher stays awake. */
const wakeUp = async (db: TestDatabase, from: number) => {
  let n = from
  while (!(await awake(db))) {
    await publishMany(db, n, n + 9)
    n += 10
  }
  return n
}

test('waits for who did not ring, and commits only after everybody fell asleep', async () => {
  await using db = await migrated()
  await using dispatcher = await dispatch(db)
  const slow = await db.sql.reserve()
  await slow`begin`
  let n = await wakeUp(db, 2)
  // Busy until it has published: so it sees the lock, and does not ring.
  let skipped = false
  while (!skipped) {
    await publishMany(db, n, n + 9)
    n += 10
    skipped = await awake(db)
    if (skipped) await slow`savepoint one`
    await slow`select kairan.publish('all-users', '{"n": 1}')`
    skipped &&= await awake(db)
    if (!skipped) await slow`rollback to one`
  }
  await eventually(async () => !(await awake(db)))
  expect(dispatcher.numbers()).not.toContain(1)

  await slow`commit`
  slow.release()
  await eventually(() => dispatcher.numbers().includes(1))
  expect(dispatcher.numbers().toSorted((a, b) => a - b)).toEqual(upTo(n - 1))
})

test('brings everything without its poll, however late the writers commit', async () => {
  await using db = await migrated()
  await using dispatcher = await dispatch(db)
  let published = 0
  const seen = { asleep: false, awake: false }
  const write = async () => {
    // On a machine that is busy it takes more, and without pauses, until it has been awake as well.
    for (let round = 0; round < 40 || !(seen.asleep && seen.awake); round++) {
      const count = round % 8 === 0 ? 20 : 1
      const from = published + 1
      published += count
      await db.sql.begin(async tx => {
        await tx`select kairan.publish('all-users', jsonb_build_object('n', n))
          from generate_series(${from}::int, ${from + count - 1}::int) n`
        if (round < 40) await Bun.sleep(Math.random() * 60)
      })
      seen[(await awake(db)) ? 'awake' : 'asleep'] = true
    }
  }
  await Promise.all(upTo(8).map(write))
  await eventually(() => dispatcher.numbers().length >= published)
  expect(dispatcher.numbers().toSorted((a, b) => a - b)).toEqual(upTo(published))
  expect(seen).toEqual({ asleep: true, awake: true })
})

test('one that dies awake costs no event: the others look by themselves', async () => {
  await using db = await migrated()
  await using first = await dispatch(db, { pollMs: 1000 })
  await using second = await dispatch(db, { pollMs: 1000 })
  let n = 1
  for (let kill = 0; kill < 5; kill++) {
    n = await wakeUp(db, n)
    await Promise.all([
      publishMany(db, n, n + 99),
      // One of the two is awake.
      db.sql`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'vigil' and datname = current_database()`,
      publishMany(db, n + 100, n + 199),
    ])
    n += 200
  }
  await eventually(() => first.numbers().length === n - 1 && second.numbers().length === n - 1)
  expect(first.numbers()).toEqual(second.numbers())
  expect(first.numbers().toSorted((a, b) => a - b)).toEqual(upTo(n - 1))
})
