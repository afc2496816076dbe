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

/** Takes the lease, numbers, and stands still before it has read what it gets. */
const freezes = `
  const { connect } = await import(process.env.CONNECT)
  const sql = connect(process.env.URL, { max: 1, name: 'frozen', direct: true })
  await sql\`select kairan.hold_lease('frozen', 2500)\`
  sql\`select * from kairan.number(4000, 1000000000)\`.execute()
  setTimeout(() => process.kill(process.pid, 'SIGSTOP'), 5)
  setInterval(() => {}, 1000)`

test('who takes it from one that stands still in the midst of an answer can number', async () => {
  await using db = await migrated()
  await using one = contend(db)
  await db.sql`
    insert into kairan.notifications (channels, payload)
    select '{user-1}', jsonb_build_object('x', repeat('x', 16000)) from generate_series(1, 3000)`
  const frozen = Bun.spawn([process.execPath, '-e', freezes], {
    env: {
      ...process.env,
      URL: db.url,
      CONNECT: new URL('../../src/postgres/connect.ts', import.meta.url).pathname,
    },
  })
  try {
    await eventually(async () => {
      const rows = await db.sql`
        select from pg_stat_activity
        where datname = current_database() and application_name = 'frozen' and wait_event = 'ClientWrite'`
      return rows.length === 1
    })
    const number = async () => (await db.sql`select state from kairan.number() limit 1`)[0]?.state
    expect(await number()).toMatchObject({ assigned: null, head: 0 })
    await endIn(db, -1)
    await one.lease.look()
    expect(one.lease.isHeld).toBe(true)
    await eventually(async () => (await number()).head === 3000)
  } finally {
    frozen.kill('SIGKILL')
    await frozen.exited
  }
})
