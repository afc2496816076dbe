import { afterAll, beforeAll, expect, test } from 'bun:test'
import { cors } from '@elysiajs/cors'
import { Elysia } from 'elysia'
import { kairan } from '../../src/embed/elysia.ts'
import { open, openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { identify, listen, options, plain, signedIn } from '../support/embedded.ts'
import { eventually } from '../support/eventually.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await database()
})
afterAll(() => db[Symbol.asyncDispose]())

const as = (userId: string) => ({ headers: signedIn(userId) })

test('delivers what SQL and what the application publish, to a user of the application', async () => {
  const app = new Elysia()
    .use(kairan(options(db, { prefix: '/kairan' })))
    .post('/orders', ({ kairan }) => kairan.publish('user-1', { n: 2 }, { type: 'order.placed' }))
  await using server = await listen(app, '/kairan')
  await using stream = await openReady(server.url, as('1'))
  await db.sql`select kairan.publish('user-1', '{"n": 1}')`
  await stream.atLeast(1)
  const url = server.url.replace('/kairan', '/orders')
  const answer = await (await fetch(url, { method: 'POST' })).json()
  const events = await stream.atLeast(2)
  expect(events.map(({ payload }) => payload.n)).toEqual([1, 2])
  expect(events[1]).toMatchObject({ id: answer.id, type: 'order.placed' })
  expect(answer).toEqual({ id: expect.any(String), repeated: false })
})

test('a user who is not signed in is refused, and one whose sign-in fails may try again', async () => {
  const app = plain(
    options(db, {
      identify: from => {
        if (from.cookie.session?.value === 'broken') throw new Error('secret detail')
        return identify(from)
      },
    }),
  )
  await using server = await listen(app)
  expect((await open(server.url)).response.status).toBe(401)
  const refused = await fetch(`${server.url}/notifications`, as('broken'))
  expect(refused.status).toBe(503)
  expect(await refused.text()).not.toContain('secret detail')
  await using stream = await open(server.url, as('broken'))
  expect(await stream.control('reconnect')).toMatchObject({ reason: 'unavailable' })
  const ofOtherPage = await fetch(`${server.url}/notifications`, {
    headers: { ...signedIn('1'), origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
  })
  expect([ofOtherPage.status, (await ofOtherPage.json()).code]).toEqual([403, 'origin_forbidden'])
})

test('publishing over HTTP needs what identify says', async () => {
  await using server = await listen(plain(options(db)))
  const post = (userId: string) =>
    fetch(`${server.url}/notifications`, {
      method: 'POST',
      headers: { ...signedIn(userId), 'content-type': 'application/json' },
      body: JSON.stringify({ channel: 'user-9', payload: {} }),
    })
  expect((await post('1')).status).toBe(403)
  expect((await post('publisher')).status).toBe(201)
})

test('a user reads the channels that identify names', async () => {
  const app = plain(
    options(db, { identify: () => ({ userId: '6', channels: ['org-7', 'order:*'] }) }),
  )
  await using server = await listen(app)
  await using stream = await openReady(server.url, { query: '?channels=org-7,order:1,user-6' })
  await db.sql`select kairan.publish(array['org-7', 'org-8', 'order:1'], '{}')`
  expect((await stream.atLeast(2)).map(({ channel }) => channel).toSorted()).toEqual([
    'order:1',
    'org-7',
  ])
  expect((await open(server.url, { query: '?channels=org-8' })).response.status).toBe(403)
})

test('a stream ends when the sign-in does', async () => {
  // From when it opens, however long the application takes to start.
  const identify = () => ({ userId: '5', expiresAt: new Date(Date.now() + 2000) })
  const app = plain(options(db, { identify }))
  await using server = await listen(app)
  await using stream = await openReady(server.url)
  await stream.control('token_expired')
  await eventually(() => stream.ended)
})

test('hooks, errors, CORS and derives do not reach from the one into the other', async () => {
  const seen: string[] = []
  const note = (name: string) => (context: { request: Request }) => {
    seen.push(`${name} ${new URL(context.request.url).pathname}`)
  }
  const app = new Elysia()
    .use(cors({ origin: 'https://app.example' }))
    .onRequest(({ request, set }) => {
      note('request')({ request })
      set.headers['x-application'] = 'yes'
    })
    .derive({ as: 'global' }, ({ request }) => {
      note('derive')({ request })
      return {}
    })
    .onBeforeHandle({ as: 'global' }, note('before'))
    .onAfterHandle({ as: 'global' }, note('after'))
    .mapResponse({ as: 'global' }, note('map'))
    .onAfterResponse({ as: 'global' }, note('afterResponse'))
    .onError({ as: 'global' }, ({ request, error }) => {
      note('error')({ request })
      return new Response(`own: ${error instanceof Error ? error.message : ''}`, { status: 418 })
    })
    .get('/*', () => 'wildcard')
    .use(kairan(options(db, { prefix: '/kairan', corsOrigins: ['https://other.example'] })))
    .get('/throws', () => {
      throw new Error('of the application')
    })
  await using server = await listen(app, '/kairan')
  seen.length = 0
  await using stream = await openReady(server.url, as('1'))
  const headers = { origin: 'https://other.example', ...signedIn('1') }
  const refused = await fetch(`${server.url}/nowhere`, { headers })
  expect([refused.status, (await refused.json()).code]).toEqual([404, 'not_found'])
  expect(refused.headers.get('access-control-allow-origin')).toBe('https://other.example')
  expect(refused.headers.get('x-application')).toBeNull()
  expect(stream.response.headers.get('access-control-allow-origin')).toBeNull()
  expect(seen).toEqual([])
  const root = server.url.replace('/kairan', '')
  const own = await fetch(`${root}/throws`, { headers: { origin: 'https://other.example' } })
  expect([own.status, await own.text()]).toEqual([418, 'own: of the application'])
  expect(own.headers.get('access-control-allow-origin')).not.toBe('https://other.example')
  expect(own.headers.get('x-application')).toBe('yes')
  expect(await (await fetch(`${root}/elsewhere`)).text()).toBe('wildcard')
  expect(seen).toContain('derive /throws')
  expect(seen).toContain('error /throws')
})

test('without a prefix the application keeps its other routes, its home page too', async () => {
  const app = new Elysia()
    .get('/', () => 'home')
    .use(kairan(options(db)))
    .get('/notifications/mine', () => 'mine')
  await using server = await listen(app)
  expect(await (await fetch(`${server.url}/`)).text()).toBe('home')
  expect(await (await fetch(`${server.url}/notifications/mine`)).text()).toBe('mine')
  expect((await fetch(`${server.url}/notifications`, as('1'))).status).toBe(200)
  expect((await fetch(`${server.url}/nothing`)).status).toBe(404)
})

test('works in an application without ahead-of-time compilation, and below another one', async () => {
  const module = new Elysia({ prefix: '/inner' }).use(kairan(options(db, { prefix: '/kairan' })))
  const app = new Elysia({ aot: false })
    .onRequest(({ set }) => {
      set.headers['x-application'] = 'yes'
    })
    .use(module)
  await using server = await listen(app, '/kairan')
  await using stream = await openReady(server.url, as('1'))
  expect(stream.response.headers.get('x-application')).toBeNull()
})

test('app.stop() ends open streams, tells them to return, and resolves', async () => {
  const app = plain(options(db, { drainMs: 100 }))
  await using server = await listen(app)
  const streams = [await openReady(server.url, as('1')), await openReady(server.url, as('2'))]
  await app.stop()
  for (const stream of streams) {
    expect(await stream.control('reconnect')).toMatchObject({ reason: 'draining' })
    await eventually(() => stream.ended)
    expect(stream.text).not.toContain('[cut')
  }
  await eventually(async () => {
    const [row] =
      await db.sql`select count(*)::int as n from pg_stat_activity where datname = current_database() and application_name like 'kairan%'`
    return row?.n === 0
  })
})

test('several live in one application, each with its own database', async () => {
  await using other = await database()
  const one = kairan(options(db, { prefix: '/one' }))
  const app = new Elysia()
    .use(one)
    .use(kairan(options(other, { prefix: '/two' })))
    .use(one)
  await using server = await listen(app, '/one')
  const two = server.url.replace('/one', '/two')
  await eventually(async () => (await fetch(`${two}/readyz`)).ok)
  await using first = await openReady(server.url, as('7'))
  await using second = await openReady(two, as('7'))
  await db.sql`select kairan.publish('user-7', '{"from": "one"}')`
  await other.sql`select kairan.publish('user-7', '{"from": "two"}')`
  expect((await first.atLeast(1)).map(({ payload }) => payload.from)).toEqual(['one'])
  expect((await second.atLeast(1)).map(({ payload }) => payload.from)).toEqual(['two'])
})

test('where the application is traced, a reader that stops still stops its stream', async () => {
  let traced = 0
  const app = new Elysia()
    .trace({ as: 'global' }, ({ onHandle }) => {
      onHandle(() => {
        traced++
      })
    })
    .use(kairan(options(db, { queueBytes: 65_536 })))
    .get('/traced', () => 'yes')
  await using server = await listen(app)
  await fetch(`${server.url}/traced`)
  expect(traced).toBe(1)
  const response = await fetch(`${server.url}/notifications/stream`, as('8'))
  const reader = response.body?.getReader()
  await reader?.read()
  const text = 'x'.repeat(60_000)
  for (let batch = 0; batch < 11; batch++) {
    await db.sql`
      select kairan.publish('user-8', jsonb_build_object('text', ${text}::text))
      from generate_series(1, 100)`
  }
  await eventually(async () =>
    /kairan_lagging_total [1-9]/.test(await (await fetch(`${server.url}/metrics`)).text()),
  )
  // Of 66 MB it took what the sockets hold; a copied stream would have been read to its end.
  const [taken] = await db.sql`
    select count(*)::int as n from kairan.deliveries where channel = 'user-8' and status = 'delivered'`
  expect(taken?.n).toBeLessThan(550)
  expect(traced).toBe(1)
  await reader?.cancel()
})

test('an application that Kairan can not start for goes on, and publishing says why', async () => {
  const reported: string[] = []
  const note = (facts: object, sentence: string) => reported.push(JSON.stringify(facts) + sentence)
  const logger = { info: note, warn: note, error: note }
  const url = Object.assign(new URL(db.url), { username: 'nobody_here' }).toString()
  const app = new Elysia()
    .use(kairan(options({ url }, { logger })))
    .get('/own', () => 'own')
    .listen({ port: 0, hostname: '127.0.0.1' })
  try {
    await eventually(() => reported.some(line => line.includes('could not start')))
    const own = `http://127.0.0.1:${app.server?.port}`
    expect(await (await fetch(`${own}/own`)).text()).toBe('own')
    expect((await fetch(`${own}/readyz`)).status).toBe(503)
    const error = await app.decorator.kairan.publish('user-1', {}).catch((error: Error) => error)
    expect(String(error)).toContain('nobody_here')
  } finally {
    await app.stop()
  }
})

test('an application that only passes requests to its fetch starts by the first use', async () => {
  // In a process of its own: nothing tells such an application to stop.
  const script = `
    import { Elysia } from 'elysia'
    import { kairan } from './src/embed/elysia.ts'
    const app = new Elysia()
      .use(kairan({ databaseUrl: '${db.url}', identify: () => ({ userId: 'first' }), logLevel: 'silent' }))
      .get('/ship', ({ kairan }) => kairan.publish('user-first', { n: 1 }))
    const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: request => app.fetch(request) })
    console.log(server.port)`
  const child = Bun.spawn([process.execPath, '-e', script], { stdout: 'pipe', stderr: 'inherit' })
  try {
    const { value } = await child.stdout.getReader().read()
    const url = `http://127.0.0.1:${new TextDecoder().decode(value).trim()}`
    const { id } = await (await fetch(`${url}/ship`)).json()
    await eventually(async () => (await fetch(`${url}/readyz`)).ok)
    await using stream = await openReady(url)
    expect((await stream.atLeast(1))[0]).toMatchObject({ id })
  } finally {
    child.kill('SIGKILL')
  }
})
