import { expect, setDefaultTimeout, test } from 'bun:test'
import type postgres from 'postgres'
import { again, expectWithin } from '../support/again.ts'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { pgbouncer } from '../support/pgbouncer.ts'
import { publisherToken } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

// What one user can cost the others: streams that open while somebody else's requests wait.

setDefaultTimeout(60_000)

/** Asks as a user, and resolves with how it was answered and after how long. */
const ask = async (url: string, token: string, path: string, init: RequestInit = {}) => {
  const began = performance.now()
  const response = await fetch(`${url}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  })
  const body = await response.text()
  const retryAfter = response.headers.get('retry-after')
  return { status: response.status, body, retryAfter, ms: performance.now() - began }
}

/** Every route of a signed-in user that reads or writes the database, with a request that is right. */
const requests: [string, RequestInit][] = [
  ['/notifications', {}],
  ['/notifications?type=rare&unread=true', {}],
  ['/notifications/read', { method: 'POST', body: '{"all":true}' }],
  ['/notifications/read', { method: 'POST', body: `{"ids":["${crypto.randomUUID()}"]}` }],
  ['/notifications/receipts', { method: 'POST', body: `{"ids":["${crypto.randomUUID()}"]}` }],
]

/** Holds the locks of these tables for as long as the scope lasts, as a migration of somebody's would. */
const lock = (sql: postgres.Sql, tables: string[]) =>
  // One that comes to the tables in another order may be in the way: then it is tried again.
  eventually(() =>
    tryLock(sql, tables).catch((error: postgres.PostgresError) => {
      if (error.code !== deadlock) throw error
      return null
    }),
  )

/** SQLSTATE deadlock_detected. */
const deadlock = '40P01'

const tryLock = async (sql: postgres.Sql, tables: string[]) => {
  const held = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  const transaction = sql.begin(async tx => {
    for (const table of tables) await tx.unsafe(`lock table ${table} in access exclusive mode`)
    held.resolve()
    await end.promise
  })
  await Promise.race([held.promise, transaction])
  return {
    async [Symbol.asyncDispose]() {
      end.resolve()
      await transaction
    },
  }
}

for (const through of ['nothing', 'PgBouncer'] as const) {
  test(`requests that wait for a lock end in 503 within 6 s, and streams open meanwhile (${through} between)`, async () => {
    await using db = await database()
    await using pooler = through === 'PgBouncer' ? await pgbouncer(db.url) : null
    await using service = await serve(
      { url: pooler?.url ?? db.url },
      pooler ? { DATABASE_LISTEN_URL: db.url } : {},
    )
    const { url } = service
    const [victim, other] = await Promise.all([tokenFor('1'), tokenFor('2')])
    const tables = await db.sql<{ name: string }[]>`
      select format('%I.%I', schemaname, tablename) as name from pg_tables
      where schemaname = 'kairan' and tablename ~ '^(inbox|confirm|unconfirmed|receipt)'`
    expect(tables.length).toBeGreaterThan(0)
    await again(async () => {
      await using _lock = await lock(db.sql, [...tables.map(({ name }) => name)])
      const answers = Promise.all(
        Array.from({ length: 4 }, () => requests)
          .flat()
          .map(([path, init]) => ask(url, victim, path, init)),
      )
      const waiting = async () => {
        const [row] = await db.sql`
          select count(*)::int as n from pg_stat_activity
          where datname = current_database() and application_name like 'kairan%' and wait_event_type = 'Lock'`
        return row?.n
      }
      await eventually(async () => (await waiting()) > 0)
      // While they wait, another stream is as good a measurement as the first.
      await again(async () => {
        const began = performance.now()
        await using stream = await openReady(url, { token: other })
        expectWithin('a stream opened', performance.now() - began, 1000)
        await db.sql`select kairan.publish('user-2', '{"n": 1}')`
        await stream.atLeast(1)
      })

      for (const { status, body, retryAfter, ms } of await answers) {
        expect({ status, body }).toMatchObject({ status: 503 })
        expect(Number(retryAfter)).toBeGreaterThan(0)
        expectWithin('a request was answered', ms, 6500)
      }
      await eventually(async () => (await waiting()) === 0)
    })
    for (const [path, init] of requests) {
      expect((await ask(url, victim, path, init)).status).toBeLessThan(300)
    }
  })
}

test('publishing that waits for a lock ends in 503 within 6 s', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await publisherToken()
  const body = JSON.stringify({ channel: 'user-1', payload: {} })
  await again(async () => {
    await using _lock = await lock(db.sql, ['kairan.notifications'])
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        ask(service.url, token, '/notifications', { method: 'POST', body }),
      ),
    )
    for (const { status, body, retryAfter, ms } of answers) {
      expect({ status, body }).toMatchObject({ status: 503 })
      expect(Number(retryAfter)).toBeGreaterThan(0)
      expectWithin('publishing was answered', ms, 6500)
    }
  })
  await eventually(
    async () =>
      (await ask(service.url, token, '/notifications', { method: 'POST', body })).status === 201,
  )
})

test('pages that nobody reads hold a bounded memory, and only their user waits', async () => {
  await using db = await database()
  await using service = await serve(db)
  const large = JSON.stringify({ text: 'x'.repeat(60_000) })
  await db.sql`
    select kairan.publish(array['user-1', 'user-2'], ${large}::text::jsonb) from generate_series(1, 70)`
  const [token, other] = await Promise.all([tokenFor('1'), tokenFor('2')])
  const isInLog = async () => {
    const { body } = await ask(service.url, token, '/notifications?limit=100')
    return body.length > 4_000_000
  }
  await eventually(isInLog)

  const { hostname, port } = new URL(service.url)
  const statuses: string[] = []
  const sockets: Bun.Socket[] = []
  const request =
    `GET /notifications?limit=100 HTTP/1.1\r\nHost: ${hostname}:${port}\r\n` +
    `Authorization: Bearer ${token}\r\n\r\n`
  try {
    // What the kernel takes for a client is not held, so it is no fixed number of pages.
    await eventually(async () => {
      const answered = statuses.length
      const socket = await Bun.connect({
        hostname,
        port: Number(port),
        socket: {
          data(socket, bytes) {
            statuses.push(bytes.subarray(9, 12).toString())
            socket.pause()
          },
        },
      })
      sockets.push(socket)
      socket.write(request)
      await eventually(() => statuses.length > answered)
      return statuses.includes('429')
    }, 50_000)
    expect(statuses.length).toBeLessThan(40)
    expect((await ask(service.url, other, '/notifications?limit=100')).status).toBe(200)
  } finally {
    for (const socket of sockets) socket.terminate()
  }
  await eventually(isInLog)
})

test('a user who opens hundreds of streams at once takes no place from others, however slow CHANNELS_QUERY is', async () => {
  await using db = await database()
  await db.sql`create sequence public.asked`
  await using service = await serve(db, {
    CHANNELS_QUERY: `
      select 'org-1' from nextval('public.asked') n, pg_sleep(case $1 when 'many' then 0.5 else 0 end) s where n > 0`,
    MAX_STREAMS_PER_USER: '300',
  })
  const many = await tokenFor('many')
  const opening = Array.from({ length: 200 }, () => openReady(service.url, { token: many }))
  await using other = await openReady(service.url, { token: await tokenFor('other') })
  const clients = await Promise.all(opening)
  for (const client of clients) client.close()
  expect(other.response.status).toBe(200)
  // Two for the first who come, and one for all who come while they are asked.
  const [row] = await db.sql`select last_value::int as asked from public.asked`
  expect(row?.asked).toBeLessThan(30)
})
