/** The files that docs/operating.md shows, before two instances that are restarted one after the other. */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { type Instance, startInstance } from '../faults/instance.ts'
import { again, expectWithin } from '../support/again.ts'
import { database, type TestDatabase } from '../support/database.ts'
import {
  caddy,
  haproxy,
  nginx,
  type StartProxy,
  startCaddy,
  startHaproxy,
  startNginx,
  startPlainHaproxy,
} from '../support/deployed.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/port.ts'
import { isReady } from '../support/process.ts'
import { publisherToken } from '../support/publish.ts'
import { ask, readAsBrowsersDo } from '../support/returning.ts'
import { tokenFor } from '../support/service.ts'

const proxies: Record<string, { program: string | null; start: StartProxy }> = {
  nginx: { program: nginx, start: startNginx },
  HAProxy: { program: haproxy, start: startHaproxy },
  Caddy: { program: caddy, start: startCaddy },
}

for (const [name, { program, start }] of Object.entries(proxies)) {
  describe.skipIf(!program && !process.env.CI)(`${name} with deploy's file`, () => {
    test('a rolling restart loses nothing and shows no error, and each event comes at once', async () => {
      await using db = await database()
      await using one = await instance(db)
      await using two = await instance(db)
      await using proxy = await start([portOf(one), portOf(two)])
      await using stream = readAsBrowsersDo([proxy.url], await tokenFor('42'))
      await eventually(() => stream.isOpen)

      await comeAtOnce(db, stream)

      await using load = publishAllTheTime(db, proxy.url, stream.seen.length)
      const before = stream.opened
      for (const next of [one, two, one]) {
        next.signal('SIGTERM')
        await next.restart()
        await eventually(() => isReady(next.url))
      }
      const last = await load.stop()
      await eventually(() => stream.seen.length >= last)
      // It did move from one to the other.
      expect(stream.opened - before).toBeGreaterThan(1)
      expect(stream.seen).toEqual(Array.from({ length: last }, (_, index) => index + 1))
      expect(stream.problems).toEqual([])
      expect(load.problems).toEqual([])
      expect(load.asked).toBeGreaterThan(20)
    }, 60_000)

    test('keeps what is for operators off the public host', async () => {
      await using db = await database()
      await using one = await instance(db)
      await using proxy = await start([portOf(one), portOf(one)])
      const { hostname, port } = new URL(proxy.url)
      const ask = (path: string) => statusOf(hostname, Number(port), path)
      for (const path of ['/livez', '/client.js', '/openapi.json']) {
        expect({ path, status: await ask(path) }).toEqual({ path, status: 200 })
      }
      for (const path of private_) {
        const status = await ask(path)
        expect({ path, isOff: status === 404 || status === 400 }).toEqual({ path, isOff: true })
      }
    })

    test('a service that is not ready still tells browsers when to return', async () => {
      const nowhere = `postgres://kairan@127.0.0.1:${await freePort()}/kairan`
      await using one = await startInstance(source, nowhere, env)
      await eventually(() => isReady(one.url, '/livez'))
      await using proxy = await start([portOf(one), portOf(one)])
      const token = await tokenFor('42')
      await eventually(async () => {
        const response = await ask(proxy.url, '/notifications/stream', token)
        return response.status === 200 && (await response.text()).includes('"type":"reconnect"')
      })
      // Also after its checks have seen that nobody is ready.
      await Bun.sleep(4000)
      const response = await ask(proxy.url, '/notifications/stream', token)
      expect(response.status).toBe(200)
      expect(await response.text()).toContain('"reason":"starting"')
    }, 30_000)
  })
}

describe.skipIf(!haproxy && !process.env.CI)('HAProxy without TLS', () => {
  test('passes each event on at once', async () => {
    await using db = await database()
    await using one = await instance(db)
    await using proxy = await startPlainHaproxy([portOf(one), portOf(one)])
    await using stream = readAsBrowsersDo([proxy.url], await tokenFor('42'))
    await eventually(() => stream.isOpen)
    await comeAtOnce(db, stream)
  })
})

/** A proxy that keeps an event back until more of them come, or a socket that does, takes longer. */
const soonMs = 100

/** A machine that is busy with other tests is late for a while. */
const comeAtOnce = (db: TestDatabase, stream: { seen: number[] }) =>
  again(async () =>
    expectWithin('an event through the proxy', await medianWait(db, stream), soonMs),
  )

/** From the publish of one event until it has come, in milliseconds. It publishes 15, each after the last has come. */
const medianWait = async (db: TestDatabase, stream: { seen: number[] }) => {
  const waits: number[] = []
  const first = stream.seen.length + 1
  for (let n = first; n < first + 15; n++) {
    const at = performance.now()
    await db.sql`select kairan.publish('user-42', ${db.sql.json({ n })})`
    await eventually(() => stream.seen.at(-1) === n)
    waits.push(performance.now() - at)
  }
  return waits.toSorted((a, b) => a - b)[7] ?? Number.POSITIVE_INFINITY
}

const private_ = [
  ...['/metrics', '/admin/overview', '/admin/streams?x=1', '/dashboard', '/dashboard.js'],
  ...['/%6detrics', '/%61dmin/overview', '/notifications/../metrics', '/x/%2e%2e/metrics'],
  ...['//metrics', '/./metrics', '/metrics/', '/METRICS'],
]

const source = join(import.meta.dir, '../../src')
// Long enough for a proxy to see that it drains, as the default is.
const env = { ALLOWED_HOSTS: 'localhost', TRUSTED_PROXIES: '1', DRAIN_MS: '3000' }

const instance = async (db: TestDatabase) => {
  const started = await startInstance(source, db.url, env)
  await eventually(() => isReady(started.url))
  return started
}

const portOf = ({ url }: Instance) => Number(new URL(url).port)

/** The status of the answer to a path as it is written: fetch would tidy it. */
const statusOf = async (host: string, port: number, path: string) => {
  const answer = Promise.withResolvers<string>()
  const socket = connect({ host, port, servername: 'localhost', rejectUnauthorized: false })
  socket.on('error', answer.reject)
  socket.on('data', bytes => answer.resolve(bytes.toString()))
  socket.on('end', () => answer.resolve(''))
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
  const text = await answer.promise
  socket.destroy()
  return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1])
}

/** Publishes from SQL and through the proxy, and reads an inbox there, until it is stopped. */
const publishAllTheTime = (db: TestDatabase, url: string, from: number) => {
  const problems: string[] = []
  let isStopped = false
  let n = from
  let asked = 0

  const post = async (payload: object) => {
    const body = JSON.stringify({ channel: 'user-42', payload, dedupeKey: crypto.randomUUID() })
    for (;;) {
      const headers = { 'content-type': 'application/json' }
      const response = await ask(url, '/notifications', await publisherToken(), {
        method: 'POST',
        body,
        headers,
      })
      asked++
      if (response.ok) return
      // What docs/publishing.md says to repeat with the same key: an instance that is starting.
      if (response.status === 503 && response.headers.has('retry-after')) {
        await Bun.sleep(50)
        continue
      }
      problems.push(`A publish was answered ${response.status}: ${await response.text()}`)
      return
    }
  }
  const publishing = (async () => {
    while (!isStopped) {
      await db.sql`select kairan.publish('user-42', ${db.sql.json({ n: ++n })})`
      await post({ n: ++n })
      await Bun.sleep(10)
    }
  })()
  const reading = (async () => {
    const token = await tokenFor('7')
    while (!isStopped) {
      const response = await ask(url, '/notifications', token)
      asked++
      if (!response.ok && response.status !== 503) problems.push(`An inbox: ${response.status}`)
      await Bun.sleep(30)
    }
  })()
  const stop = async () => {
    isStopped = true
    await Promise.all([publishing, reading])
    return n
  }
  return {
    problems,
    stop,
    get asked() {
      return asked
    },
    async [Symbol.asyncDispose]() {
      await stop().catch(String)
    },
  }
}
