import { expect, test } from 'bun:test'
import { open, openReady } from '../support/client.ts'
import { cluster } from '../support/cluster.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freezeBackends } from '../support/frozen.ts'
import { proxyTo } from '../support/proxy.ts'
import { serve, tokenFor } from '../support/service.ts'

/** A service whose LISTEN connection, and the dispatcher's, go through a network that can be cut. */
const serveThroughProxy = async (db: TestDatabase) => {
  const proxy = await proxyTo(Number(new URL(db.url).port))
  const through = Object.assign(new URL(db.url), { port: String(proxy.port) }).toString()
  const service = await serve(db, { DATABASE_LISTEN_URL: through })
  return { proxy, service }
}

const ready = async (url: string) => {
  const response = await fetch(`${url}/readyz`)
  return { ...(await response.json()), status: response.status }
}

const listenerPid = async ({ sql }: TestDatabase) => {
  const [row] = await sql`
    select pid from pg_stat_activity
    where application_name = 'kairan listener' and datname = current_database()`
  return row?.pid
}

test('listens again after its backend was killed, and nothing is lost', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  for (let n = 1; n <= 5; n++) {
    const pid = await listenerPid(db)
    await db.sql`select pg_terminate_backend(${pid}), kairan.publish('user-42', '{}')`
    await client.atLeast(n)
    await eventually(async () => ![undefined, pid].includes(await listenerPid(db)))
  }
  expect(client.events).toHaveLength(5)
  await eventually(async () => (await ready(service.url)).status === 200)
})

test('notices a frozen listener, delivers by polling meanwhile, and is ready again later', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const pid = await listenerPid(db)
  {
    using _ = await freezeBackends(db.sql, [pid])
    await db.sql`select kairan.publish('user-42', '{}')`
    await client.atLeast(1)
    await eventually(async () =>
      service.logs.some(({ sentence }) => sentence.startsWith('LISTEN is down')),
    )
    // It does not wait for the frozen one: it has another.
    await eventually(async () => ![undefined, pid].includes(await newestListener(db)))
    await eventually(async () => (await ready(service.url)).status === 200)
  }
})

test('notices a network that swallows everything, and tells why it is not ready', async () => {
  await using db = await database()
  const { proxy, service } = await serveThroughProxy(db)
  await using _proxy = proxy
  await using _service = service
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  proxy.cut()
  const { reasons } = await eventually(async () => {
    const answer = await ready(service.url)
    return answer.reasons?.length === 2 ? answer : null
  })
  const why = /database: .*did not answer.*listen: no answer/
  await eventually(() => why.test(service.service.reasons().join()))
  // Anybody can ask, so these are fixed words. What happened is in the log.
  expect(reasons).toEqual(['database: the log can not be used now', 'listen: no NOTIFY arrives'])
  const logged = JSON.stringify(service.logs)
  for (const detail of ['did not answer', 'no answer']) expect(logged).toContain(detail)
  await db.sql`insert into kairan.roles values ('boss', 100)`
  const headers = { authorization: `Bearer ${await tokenFor('boss')}` }
  await eventually(async () => {
    const { problems } = await (await fetch(`${service.url}/admin/system`, { headers })).json()
    return problems[0]?.problem.includes('did not answer')
  })
  expect((await fetch(`${service.url}/livez`)).status).toBe(200)

  await db.sql`select kairan.publish('user-42', '{}')`
  proxy.heal()
  await client.atLeast(1)
  await eventually(async () => (await ready(service.url)).status === 200)
})

test('notices a registration that is not there, as behind a transaction pooler', async () => {
  await using db = await database()
  const proxy = await proxyTo(Number(new URL(db.url).port))
  await using _proxy = proxy
  // What a pooler does to LISTEN: it "succeeds", on a session that the next statement does not have.
  proxy.rewrite = bytes =>
    Buffer.from(bytes.toString('latin1').replaceAll('listen kairan', 'listen nobody'), 'latin1')
  const through = Object.assign(new URL(db.url), { port: String(proxy.port) }).toString()
  await using service = await serve(db, { DATABASE_LISTEN_URL: through }, { ready: false })
  const warning = await eventually(() =>
    service.logs.find(({ sentence }) => sentence.startsWith('LISTEN is down')),
  )
  expect(warning.facts).toMatchObject({ error: expect.stringMatching(/no answer|registration/) })
  expect((await ready(service.url)).status).toBe(503)

  await using client = await openReady(service.url, { token: await tokenFor('42') })
  await db.sql`select kairan.publish('user-42', '{}')`
  await client.atLeast(1)
  proxy.rewrite = null
  await eventually(async () => (await ready(service.url)).status === 200)
})

test('makes no stampede of connections while Postgres is away, and is back soon after', async () => {
  await using server = await cluster()
  const proxy = await proxyTo(server.port)
  await using _proxy = proxy
  const through = Object.assign(new URL(server.url), { port: String(proxy.port) }).toString()
  await using service = await serve({ url: through })
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  await server.stop('immediate')
  await eventually(async () => (await ready(service.url)).status === 503)

  // A server that is down behind a proxy accepts and closes: what drives clients mad.
  const before = proxy.connections
  const start = Date.now()
  await eventually(() => Date.now() - start > 5000)
  const perSecond = (proxy.connections - before) / ((Date.now() - start) / 1000)
  expect(perSecond).toBeGreaterThan(0)
  expect(perSecond).toBeLessThan(10)
  expect((await fetch(`${service.url}/livez`)).status).toBe(200)
  // Who comes now is asked to return.
  await using refused = await open(service.url, { token: await tokenFor('43') })
  expect(await refused.control('reconnect')).toMatchObject({ reason: 'unavailable' })

  await server.start()
  await eventually(async () => (await ready(service.url)).status === 200)
  const sql = new Bun.SQL(server.url)
  await sql`select kairan.publish('user-42', '{}')`
  await client.atLeast(1)
  await sql.close()
})

test('says that the database is read-only, and goes on when it is not any more', async () => {
  await using server = await cluster()
  await using service = await serve(server)
  const sql = new Bun.SQL(server.url)
  const setReadOnly = async (value: 'on' | 'off') => {
    await sql.unsafe(`alter system set default_transaction_read_only = ${value}`)
    await sql`select pg_reload_conf()`
  }
  await sql`select kairan.publish('user-42', '{}')`
  await eventually(async () => (await sql`select from kairan.log where head = 1`).length)
  // Committed, not numbered: somebody holds the log's lock until the server is read-only.
  await sql.begin(async tx => {
    await tx`select from kairan.locks where name = 'numbering' for update`
    await sql`select kairan.publish('user-42', '{"n": 2}')`
    await setReadOnly('on')
  })
  await eventually(async () => (await ready(service.url)).status === 503)
  expect((await ready(service.url)).reasons).toEqual(['database: the log can not be used now'])
  expect(service.service.reasons().join()).toContain('read-only')
  // A session of before may hear of it later than the service's.
  const fresh = new Bun.SQL(server.url, { max: 1 })
  await expect(fresh`select kairan.publish('user-42', '{}')`.execute()).rejects.toThrow('read-only')
  await fresh.close()

  await using client = await openReady(service.url, { token: await tokenFor('42') })
  await setReadOnly('off')
  await eventually(() => client.events.some(({ payload }) => payload.n === 2))
  await eventually(async () => (await ready(service.url)).status === 200)
  await sql.close()
})

const newestListener = async ({ sql }: TestDatabase) => {
  const [row] = await sql`
    select pid from pg_stat_activity
    where application_name = 'kairan listener' and datname = current_database()
    order by backend_start desc`
  return row?.pid
}
