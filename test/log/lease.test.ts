import { expect, test } from 'bun:test'
import { createLease } from '../../src/log/lease.ts'
import { createDatabase } from '../../src/postgres/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { migrated } from '../support/schema.ts'

const ignore = () => undefined
const report = { info: ignore, warn: ignore, error: ignore }

/** The lease of an instance with a session of its own, and what it was told of it. */
const contend = ({ url }: TestDatabase) => {
  const database = createDatabase(url, {
    max: 1,
    name: 'contender',
    direct: true,
    deadlineMs: 10_000,
  })
  const changes: boolean[] = []
  const lease = createLease({
    database,
    instanceId: crypto.randomUUID(),
    report,
    onChange: isHeld => changes.push(isHeld),
  })
  return {
    lease,
    changes,
    pid: async () => {
      const [row] = await database.run(
        sql => sql<{ pid: number }[]>`select pg_backend_pid() as pid`,
      )
      return row?.pid ?? 0
    },
    [Symbol.asyncDispose]: () => database.stop(),
  }
}

const countOf = async ({ sql }: TestDatabase) => {
  const [row] = await sql<{ n: number }[]>`select count(*)::int as n from kairan.leases`
  return row?.n
}

/** Almost as long as a lease can last: no pause of the machine ends it meanwhile. */
const longMs = 4900

/** Puts the end of the lease to so many milliseconds from now. */
const endIn = ({ sql }: TestDatabase, ms: number) => sql`
  select setval('kairan.led_until', (extract(epoch from clock_timestamp()) * 1000)::bigint + ${ms}::int)`

test('one of many that want it gets it, and keeps it without writing a row', async () => {
  await using db = await migrated()
  await using stack = new AsyncDisposableStack()
  const all = Array.from({ length: 8 }, () => stack.use(contend(db)))
  // Each has its session: who has to make it first would look when the lease of another one is over.
  await Promise.all(all.map(({ pid }) => pid()))
  await Promise.all(all.map(({ lease }) => lease.look()))
  expect(all.filter(({ lease }) => lease.isHeld)).toHaveLength(1)
  for (let n = 0; n < 20; n++) {
    await endIn(db, longMs)
    await Promise.all(all.map(({ lease }) => lease.look()))
  }
  expect(all.flatMap(({ changes }) => changes)).toEqual([true])
  expect(await countOf(db)).toBe(1)
})

test('it ends with the session of who has it, long before its time', async () => {
  await using db = await migrated()
  await using one = contend(db)
  await using other = contend(db)
  await other.pid()
  await one.lease.look()
  await endIn(db, longMs)
  await other.lease.look()
  expect([one.lease.isHeld, other.lease.isHeld]).toEqual([true, false])
  await endIn(db, longMs)
  await db.sql`select pg_terminate_backend(${await one.pid()})`
  await eventually(async () => {
    await other.lease.look()
    return other.lease.isHeld
  })
  await endIn(db, longMs)
  // Its own session may be on its way still.
  const looks = () =>
    one.lease.look().then(
      () => true,
      () => false,
    )
  await eventually(looks)
  expect(one.changes).toEqual([true, false])
  expect(await countOf(db)).toBe(2)
})

test('it ends by time, when it is given up, and when it would last for ever', async () => {
  await using db = await migrated()
  await using one = contend(db)
  await using other = contend(db)
  await one.lease.look()
  const takes = async (who: typeof one) => {
    await who.lease.look()
    return who.lease.isHeld
  }
  await endIn(db, longMs)
  expect(await takes(other)).toBe(false)
  await endIn(db, -1)
  expect(await takes(other)).toBe(true)
  await endIn(db, longMs)
  expect(await takes(one)).toBe(false)
  // It was renewed by a clock that has been set back since.
  await endIn(db, 3_600_000)
  expect(await takes(one)).toBe(true)
  await one.lease.resign()
  expect(await takes(other)).toBe(true)
  await endIn(db, longMs)
  // One that does not have it any more takes nothing from who has it.
  await one.lease.resign()
  expect(await takes(one)).toBe(false)
})

test('who takes it makes publishers ring again', async () => {
  await using db = await migrated()
  await using one = contend(db)
  await db.sql`select setval('kairan.awake_until', (extract(epoch from now()) * 1000000)::bigint + 3600000000)`
  await one.lease.look()
  const [row] = await db.sql<{ ring: boolean }[]>`
    select pg_sequence_last_value('kairan.awake_until') < extract(epoch from now()) * 1000000 as ring`
  expect(row?.ring).toBe(true)
})
