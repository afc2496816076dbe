import { expect, test } from 'bun:test'
import { waitMs } from '../../src/client/connection.ts'
import { createNotifications, type Options, type RequestError } from '../../src/client/index.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { control, serveScript } from '../support/script.ts'
import { serve, tokenFor } from '../support/service.ts'

/** A client in this process, which is closed at the end of the scope. */
const connect = (options: Options) => {
  const client = createNotifications(options)
  const states: string[] = []
  client.subscribe(() =>
    states.push([client.status, client.state.reason].filter(Boolean).join(' ')),
  )
  return { client, states, [Symbol.dispose]: client.close }
}

const ready = (streamId = 's1') =>
  `retry: 20\n\nid: a-0\n${control('ready', { cursor: 'a-0', head: 'a-0', streamId })}`

test('goes on with a new token when the old one has ended', async () => {
  await using db = await database()
  await using service = await serve(db, { RETRY_MS: '50' })
  let asked = 0
  // Long enough that it is renewed before it ends, also where the machine is busy.
  const seconds = 5
  const refreshes: boolean[] = []
  const auth = (refresh: boolean) => {
    refreshes.push(refresh)
    return tokenFor('42', asked++ === 0 ? seconds : 3600)
  }
  using it = connect({ url: service.url, auth })
  const seen: unknown[] = []
  it.client.on('*', ({ payload }) => seen.push(payload.n))
  await eventually(() => refreshes.length === 2 && it.client.status === 'open')
  // Nothing of the old token is left.
  const ended = Math.ceil(Date.now() / 1000 + seconds) * 1000
  await eventually(() => Date.now() > ended)
  await eventually(() => it.client.status === 'open')
  await db.sql`select kairan.publish('user-42', '{"n": 1}')`
  await eventually(() => seen.length === 1)
  expect(refreshes).toEqual([false, true])
})

test('asks for new tokens when it is refused, and not for ever', async () => {
  await using service = serveScript()
  const refreshes: boolean[] = []
  let token = 'bad'
  const auth = (refresh: boolean) => {
    refreshes.push(refresh)
    return token
  }
  using it = connect({ url: service.url, auth })
  await eventually(() => it.client.status === 'closed')
  expect(it.client.state.reason).toBe('refused')
  expect(refreshes).toEqual([false, true, true])

  token = 'good'
  it.client.connect()
  await eventually(() => service.streams.length === 1)
  service.streams[0]?.say(ready())
  await eventually(() => it.client.status === 'open')
})

test('gives the stream a new token before the old one ends, or returns with one', async () => {
  await using service = serveScript()
  let n = 0
  using it = connect({ url: service.url, auth: () => `token-${++n}` })
  await eventually(() => service.streams.length === 1)
  service.streams[0]?.say(ready('s1'))
  service.streams[0]?.say(control('token_expiring', { expiresAt: '2026-01-01T00:00:00Z' }))
  await eventually(() => service.requests.length === 1)
  const [request] = service.requests
  expect(request).toMatchObject({ method: 'POST', path: '/notifications/stream/s1/token' })
  expect(request?.headers.get('authorization')).toBe('Bearer token-2')
  expect(it.client.status).toBe('open')

  // One that can't be renewed goes on until its token ends: whoever returned at once could be told so again.
  service.answerWith(404)
  service.streams[0]?.say(control('token_expiring', { expiresAt: '2026-01-01T00:00:00Z' }))
  await eventually(() => service.requests.length === 2)
  expect(it.client.status).toBe('open')
  service.streams[0]?.say(control('token_expired'))
  await eventually(() => service.streams.length === 2)
  expect(service.streams[1]?.headers.get('authorization')).toBe('Bearer token-4')
  expect(service.streams[1]?.headers.get('last-event-id')).toBe('a-0')
})

test('returns when it is told to, and stays away when it is replaced', async () => {
  await using service = serveScript()
  using it = connect({ url: service.url, stallMs: 60_000 })
  await eventually(() => service.streams.length === 1)
  service.streams[0]?.say(ready())
  service.streams[0]?.say(control('reconnect', { reason: 'draining', afterMs: 30 }))
  await eventually(() => service.streams.length === 2)
  expect(it.states).toEqual(['open', 'waiting draining', 'connecting'])

  service.streams[1]?.say(ready())
  service.streams[1]?.say(control('replaced'))
  await eventually(() => it.client.status === 'closed')
  expect(it.client.state.reason).toBe('replaced')
  it.client.connect()
  await eventually(() => service.streams.length === 3)
})

test('waits after a stream as long as retry says, unless it is asked', async () => {
  await using service = serveScript()
  using it = connect({ url: service.url })
  await eventually(() => service.streams.length === 1)
  service.streams[0]?.say(`${ready()}retry: 600000\n\n`)
  service.streams[0]?.end()
  await eventually(() => it.states.includes('waiting network'))
  it.client.connect()
  await eventually(() => service.streams.length === 2)
  expect(it.states).toEqual(['open', 'waiting network', 'connecting'])
})

test('waits ever longer after failures, at random, and at most half a minute', () => {
  expect(waitMs(0, 1500)).toBe(1500)
  for (let failures = 1; failures < 2000; failures++) {
    const waits = Array.from({ length: 50 }, () => waitMs(failures, 1500))
    expect(Math.max(...waits)).toBeLessThanOrEqual(Math.min(30_000, 1500 * 2 ** failures))
    expect(new Set(waits).size).toBe(50)
  }
  expect(Math.max(...Array.from({ length: 500 }, () => waitMs(10, 1500)))).toBeGreaterThan(20_000)
})

test('a loop over it ends when it is closed', async () => {
  await using service = serveScript()
  using it = connect({ url: service.url })
  await eventually(() => service.streams.length === 1)
  const loop = it.client[Symbol.asyncIterator]()
  const next = loop.next()
  const event = (seq: number) =>
    `id: a-${seq}\ndata: {"channel":"c","payload":{"n":${seq}},"id":"${seq}","type":"a"}\n\n`
  service.streams[0]?.say(ready() + event(1) + event(2))
  expect((await next).value).toMatchObject({ type: 'a', payload: { n: 1 }, cursor: 'a-1' })
  it.client.close()
  expect((await loop.next()).value).toMatchObject({ payload: { n: 2 } })
  expect((await loop.next()).done).toBe(true)
})

test('a request that is refused throws what the service says', async () => {
  await using service = serveScript()
  using it = connect({ url: service.url })
  expect(await it.client.markRead(['1'])).toBe(3)
  expect(it.client.unread).toBe(3)
  expect(JSON.parse(service.requests[0]?.body ?? '')).toEqual({ ids: ['1'] })
  service.answerWith(404)
  const error: RequestError = await it.client.markAllRead().catch(error => error)
  expect(error).toMatchObject({ status: 404, code: 'not_found', message: 'Nothing there.' })
})
