import { expect, test } from 'bun:test'
import { join } from 'node:path'
import postgres from 'postgres'
import { createDatabase, type Database } from '../../src/postgres/database.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freezeBackends } from '../support/frozen.ts'
import { proxyTo, type TestProxy } from '../support/proxy.ts'

const max = 5

const pidOf = async (pool: Database) => {
  const [row] = await pool.run(sql => sql<{ pid: number }[]>`select pg_backend_pid() as pid`)
  return row?.pid ?? 0
}

/** Asks again while the machine is slower than the deadline of the test, and says nothing for another error. */
const answered = <T>(ask: () => Promise<T>) =>
  eventually(() =>
    ask().catch((error: Error) => {
      if (!error.message.startsWith('Postgres did not answer within')) throw error
      return null
    }),
  )

/** What breaks the connections of a pool: each call breaks all that are open. */
const breakers = {
  async 'backends are killed'(db: TestDatabase) {
    const sql = postgres(db.url, { max: 1, onnotice: () => undefined })
    return {
      url: db.url,
      breakAll: async () => {
        await sql`
          select pg_terminate_backend(pid) from pg_stat_activity
          where application_name = 'kairan pool test' and datname = current_database()`
      },
      stop: () => sql.end(),
    }
  },
  async 'connections are reset'(db: TestDatabase) {
    const proxy = await proxyTo(Number(new URL(db.url).port))
    return {
      url: Object.assign(new URL(db.url), { port: String(proxy.port) }).toString(),
      breakAll: async () => proxy.reset(),
      stop: () => proxy[Symbol.asyncDispose](),
    }
  },
}

for (const [what, create] of Object.entries(breakers)) {
  test(`while ${what}, no query gets a wrong answer, and every slot works again`, async () => {
    await using db = await database()
    const breaker = await create(db)
    const pool = createDatabase(breaker.url, {
      max,
      name: 'kairan pool test',
      deadlineMs: 10_000,
    })
    let answered = 0
    let failed = 0
    const wrong: unknown[] = []
    const ask = async (n: number) => {
      try {
        const rows = await pool.run(sql => sql<{ n: number }[]>`select ${n}::int as n`)
        answered++
        // Never the answer of another query, and never an empty one.
        if (rows[0]?.n !== n) wrong.push({ n, rows: [...rows] })
      } catch {
        failed++
        // As one who tries again at once: in the very moment in which the connection dies.
        if (failed % 2 === 0) await ask(n + 1)
      }
    }
    let breaks = 0
    const breaking = (async () => {
      for (; breaks < 100; breaks++) {
        await breaker.breakAll()
        await Bun.sleep(Math.random() * 30)
      }
    })()
    while (breaks < 100) await Promise.all(Array.from({ length: 10 }, (_, index) => ask(index)))
    await breaking
    expect(wrong).toEqual([])
    expect(failed).toBeGreaterThan(0)
    expect(answered).toBeGreaterThan(0)

    // As many at once as there are slots, each in a backend of its own. The first to use a connection that
    // was broken a moment ago is told so.
    const inEverySlot = async () => {
      const pids = await Promise.all(
        Array.from({ length: max }, () =>
          pool.run(sql => sql<{ pid: number }[]>`select pg_backend_pid() as pid, pg_sleep(0.2)`),
        ),
      )
      return new Set(pids.map(([row]) => row?.pid)).size === max
    }
    await eventually(() => inEverySlot().catch(() => false))
    await pool.stop()
    await breaker.stop()
  })
}

test('a transaction whose backend dies between two statements fails, and nothing else', async () => {
  await using db = await database()
  // In a process of its own: without the patch to postgres.js it ends that process.
  const script = `
    import postgres from 'postgres'
    const sql = postgres(process.env.URL, { max: 1 })
    const admin = postgres(process.env.URL, { max: 1 })
    const gone = Promise.withResolvers()
    let late
    const failure = await sql.begin(async tx => {
      const [{ pid }] = await tx\`select pg_backend_pid() as pid\`
      late = gone.promise.then(() => tx\`select 2 as one\`).catch(error => error)
      await admin\`select pg_terminate_backend(\${pid})\`
      await late
    }).catch(error => error)
    // Somebody else has the session that takes its place, while it goes on.
    const other = sql\`select 1 as one\`.execute()
    gone.resolve()
    const [{ one }] = await other
    console.log(failure.code, (await late).code, one)
    process.exit(0)`
  const child = Bun.spawn([process.execPath, '-e', script], {
    cwd: join(import.meta.dir, '../..'),
    env: { URL: db.url },
    stdout: 'pipe',
    stderr: 'inherit',
  })
  expect(await new Response(child.stdout).text()).toBe('CONNECTION_CLOSED CONNECTION_CLOSED 1\n')
  expect(await child.exited).toBe(0)
})

/** What ends a connection while the driver asks for the types of arrays. */
const endings: Record<string, (way: { proxy: TestProxy; sql: postgres.Sql }) => Promise<void>> = {
  'its client is destroyed': ({ sql }) => sql.end({ timeout: 0 }),
  'its backend is killed': async ({ proxy }) => proxy.heal(),
  'its network is reset': async ({ proxy, sql }) => {
    proxy.reset()
    proxy.heal()
    await sql.end({ timeout: 0 })
  },
}

for (const [what, finish] of Object.entries(endings)) {
  // https://github.com/porsager/postgres/issues/1192: it would end the process, and here the test.
  test(`a connection that ends before it knows the types rejects no promise that nobody has: ${what}`, async () => {
    await using db = await database()
    await using proxy = await proxyTo(Number(new URL(db.url).port))
    const url = Object.assign(new URL(db.url), { port: String(proxy.port) }).toString()
    const asked = Promise.withResolvers<void>()
    proxy.rewrite = bytes => {
      if (bytes.includes('pg_catalog.pg_type')) {
        proxy.cut()
        asked.resolve()
      }
      return bytes
    }
    const connection = { application_name: 'kairan types test' }
    const sql = postgres(url, { max: 1, onnotice: () => undefined, connection })
    const outcome = sql`select 1`.then(
      () => 'answered by another connection',
      (error: postgres.PostgresError) => error.code,
    )
    await asked.promise
    await db.sql`
      select pg_terminate_backend(pid, 10000) from pg_stat_activity
      where application_name = 'kairan types test'`
    proxy.rewrite = null
    await finish({ proxy, sql })
    expect(await outcome).toBeOneOf([
      'CONNECTION_DESTROYED',
      'ECONNRESET',
      'CONNECTION_CLOSED',
      '57P01',
      'answered by another connection',
    ])
    await sql.end({ timeout: 0 })
  })
}

test('gives up a server that does not answer, and works again when it does', async () => {
  await using db = await database()
  const pool = createDatabase(db.url, { max: 1, name: 'kairan frozen test', deadlineMs: 300 })
  const pid = await answered(() => pidOf(pool))
  {
    using _ = await freezeBackends(db.sql, [pid])
    await expect(pool.run(sql => sql`select 1`)).rejects.toThrow(
      'Postgres did not answer within 300 ms',
    )
    expect(await answered(() => pidOf(pool))).not.toBe(pid)
  }
  await pool.stop()
})

test('cancels what takes too long, keeps the connection, and leaves no backend waiting', async () => {
  await using db = await database()
  const pool = createDatabase(db.url, { max: 1, name: 'kairan cancel test', deadlineMs: 3000 })
  await db.sql`create table locked (id int)`
  const pid = await answered(() => pidOf(pool))
  await db.sql.begin(async tx => {
    await tx`lock table locked in access exclusive mode`
    await expect(
      pool.run(async sql => {
        await sql`select 1`
        await sql`select * from locked`
      }),
    ).rejects.toThrow('canceling statement due to user request')
    const waiting = await tx`
      select pid from pg_stat_activity
      where application_name = 'kairan cancel test' and wait_event_type = 'Lock'`
    expect([...waiting]).toEqual([])
  })
  expect(await answered(() => pidOf(pool))).toBe(pid)
  await pool.stop()
})

test('runs at most as many statements as there are connections, so none waits behind another', async () => {
  await using db = await database()
  const pool = createDatabase(db.url, {
    max: 2,
    name: 'places test',
    deadlineMs: 30_000,
    placeMs: 200,
  })
  const taken = Promise.withResolvers<void>()
  const taking = [1, 2].map(() => pool.run(() => taken.promise))
  await expect(pool.run(sql => sql`select 1`)).rejects.toThrow('was free within 200 ms')
  taken.resolve()
  await Promise.all(taking)
  const [row] = await pool.run(sql => sql<{ one: number }[]>`select 1 as one`)
  expect(row?.one).toBe(1)
  await pool.stop()
})

test('a statement that is cancelled while its connection is made does not block that connection', async () => {
  await using db = await database()
  const proxy = await proxyTo(Number(new URL(db.url).port))
  await using _proxy = proxy
  const through = Object.assign(new URL(db.url), { port: String(proxy.port) }).toString()
  const pool = createDatabase(through, { max: 1, name: 'made test', deadlineMs: 600 })
  // Connections are accepted and closed, so the driver makes one after the other for its first statement;
  // or they are held, and go on when nobody waits for that statement any more.
  for (const hinder of [() => proxy.leadTo(null, 'reset'), () => proxy.cut()]) {
    hinder()
    await pool.run(sql => sql`select 1`).catch(() => null)
    proxy.heal()
    proxy.leadTo(Number(new URL(db.url).port), 'kept')
    await eventually(() => pool.run(sql => sql`select 1`).catch(() => null))
    proxy.reset()
  }
  await pool.stop()
})

test('a request to cancel that does not arrive fails its statement, and nothing else', async () => {
  await using db = await database()
  await using proxy = await proxyTo(Number(new URL(db.url).port))
  const url = Object.assign(new URL(db.url), { port: String(proxy.port) }).toString()
  const pool = createDatabase(url, { max: 1, name: 'kairan lost cancel', deadlineMs: 900 })
  await answered(() => pidOf(pool))
  // The connection stays, a new one is reset: what this test would see is an unhandled rejection.
  proxy.leadTo(null, 'kept')
  proxy.cut()
  await expect(pool.run(sql => sql`select pg_sleep(30)`)).rejects.toThrow('did not answer')
  proxy.heal()
  proxy.leadTo(Number(new URL(db.url).port), 'reset')
  expect(await answered(() => pidOf(pool))).toBeGreaterThan(0)
  await pool.stop()
})
