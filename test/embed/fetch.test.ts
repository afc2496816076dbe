import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Hono } from 'hono'
import { createKairan, type Kairan } from '../../src/embed/index.ts'
import type { KairanOptions } from '../../src/embed/types.ts'
import { open, openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { options, signedIn } from '../support/embedded.ts'
import { eventually } from '../support/eventually.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await database()
})
afterAll(() => db[Symbol.asyncDispose]())

const as = (userId: string) => ({ headers: signedIn(userId) })

/** Kairan behind a server of the application, with what that passes on. */
const serve = async (
  more: Partial<KairanOptions>,
  answer: (kairan: Kairan) => (request: Request, server: Bun.Server<undefined>) => unknown,
) => {
  const kairan = createKairan(options(db, more))
  await kairan.start()
  await eventually(() => kairan.reasons().length === 0)
  const handle = answer(kairan)
  const server = Bun.serve({
    ...{ port: 0, hostname: '127.0.0.1', idleTimeout: 10 },
    fetch: async (request, server) => {
      const response = await handle(request, server)
      return response instanceof Response ? response : new Response(null, { status: 500 })
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    async [Symbol.asyncDispose]() {
      await kairan.stop()
      await server.stop(true)
    },
  }
}

test('delivers under Bun.serve, and knows the address of a client by the server', async () => {
  await using server = await serve({ maxStreamsPerAddress: 1 }, ({ fetch }) => fetch)
  await using stream = await openReady(server.url, as('1'))
  await db.sql`select kairan.publish('user-1', '{"n": 1}')`
  expect((await stream.atLeast(1))[0]?.payload).toMatchObject({ n: 1 })
  await using second = await open(server.url, as('1'))
  expect(await second.control('reconnect')).toBeTruthy()
  expect((await fetch(`${server.url}/elsewhere`)).status).toBe(404)
})

test('delivers below a path of Hono, without a server object, and takes the addresses for unknown', async () => {
  const app = new Hono()
  await using server = await serve({ prefix: '/kairan', maxStreamsPerAddress: 1 }, kairan => {
    app.all('/kairan/*', context => kairan.fetch(context.req.raw))
    return app.fetch
  })
  const url = `${server.url}/kairan`
  await using stream = await openReady(url, as('2'))
  await using second = await openReady(url, as('2'))
  await db.sql`select kairan.publish('user-2', '{"n": 2}')`
  for (const one of [stream, second]) await one.atLeast(1)
})

test('a quiet stream lives on where the server cuts it after 10 s, whether it is known or not', async () => {
  await using known = await serve({}, ({ fetch }) => fetch)
  await using unknown = await serve(
    {},
    ({ fetch }) =>
      request =>
        fetch(request),
  )
  await using first = await openReady(known.url, as('3'))
  await using second = await openReady(unknown.url, as('3'))
  const heartbeat = /\n:[^\n]*\n\n$/
  await eventually(() => heartbeat.test(first.text) && heartbeat.test(second.text))
  expect([first.ended, second.ended]).toEqual([false, false])
}, 30_000)

test('requests that are made in the process are answered, also with allowedHosts', async () => {
  const kairan = createKairan(options(db, { allowedHosts: ['shop.example'], prefix: '/k' }))
  expect((await kairan.fetch(new Request('http://shop.example/k/livez'))).status).toBe(200)
  const refused = await kairan.fetch(new Request('http://evil.example/k/notifications'))
  expect(refused.status).toBe(421)
  expect((await kairan.fetch(new Request('http://shop.example/k/readyz'))).status).toBe(503)
  const home = await kairan.fetch(new Request('http://shop.example/k'))
  expect(home.headers.get('location')).toBe('k/dashboard')
  const described = await kairan.fetch(new Request('http://shop.example/k/openapi.json'))
  expect((await described.json()).servers).toEqual([{ url: '/k' }])
  await kairan.stop()
})
