import { expect, test } from 'bun:test'
import { createNotifications, type Options, type RequestError } from '../../src/client/index.ts'
import { createListeners } from '../../src/client/listeners.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { pageOf } from '../support/inbox.ts'
import { control, serveScript } from '../support/script.ts'
import { serve, tokenFor } from '../support/service.ts'

const connect = (options: Options) => {
  const client = createNotifications(options)
  client.subscribe(() => undefined)
  return { client, [Symbol.dispose]: client.close }
}

const ready = `retry: 20\n\nid: a-0\n${control('ready', { cursor: 'a-0', head: 'a-0', streamId: 's' })}`

test('listeners come and go while they are called, and count by themselves', () => {
  const listeners = createListeners<number>()
  const heard: string[] = []
  const twice = (n: number) => void heard.push(`twice ${n}`)
  const ends = [listeners.add('a', twice), listeners.add('a', twice)]
  const again = (n: number) => {
    heard.push(`again ${n}`)
    endAgain()
    endAgain = listeners.add('a', again)
    endLast()
  }
  let endAgain = listeners.add('a', again)
  const endLast = listeners.add('a', n => void heard.push(`last ${n}`))
  listeners.call('a', 1)
  expect(heard).toEqual(['twice 1', 'twice 1', 'again 1'])
  for (const _ of [1, 2]) ends[0]?.()
  listeners.call('a', 2)
  expect(heard.slice(3)).toEqual(['twice 2', 'again 2'])
})

test('an event whose type is a star comes once', async () => {
  await using service = serveScript()
  using it = connect({ url: service.url })
  const heard: unknown[] = []
  it.client.on('*', ({ type }) => heard.push(type))
  await eventually(() => service.streams.length === 1)
  const event = (seq: number, type: string) =>
    `id: a-${seq}\ndata: {"channel":"c","payload":{},"id":"${seq}","type":"${type}"}\n\n`
  service.streams[0]?.say(ready + event(1, '*') + event(2, 'a'))
  await eventually(() => heard.length > 1)
  expect(heard).toEqual(['*', 'a'])
})

test('an auth() that throws once, or never answers once, keeps nothing from coming, nor a slow one a mark', async () => {
  await using service = serveScript()
  // As in a tab in the background, whose timers and requests are slowed down.
  const slow = createNotifications({
    url: service.url,
    auth: () => Bun.sleep(10_500).then(() => 'late'),
  })
  const marked = slow.markRead(['a'])
  let asked = 0
  using it = connect({
    url: service.url,
    auth: () => {
      asked++
      if (asked === 1) throw new Error('not now')
      return asked === 2 ? new Promise<string>(() => undefined) : 'good'
    },
  })
  await eventually(() => service.streams.length === 1)
  service.streams[0]?.say(ready)
  await eventually(() => it.client.status === 'open')
  expect(asked).toBe(3)
  expect(await marked).toBe(3)
  expect(service.requests.at(-1)?.headers.get('authorization')).toBe('Bearer late')
}, 30_000)

test('five requests with a token that has ended ask for one new token', async () => {
  await using db = await database()
  await using service = await serve(db)
  let token = await tokenFor('42', -10)
  const asked: boolean[] = []
  using it = connect({
    url: service.url,
    auth: async refresh => {
      asked.push(refresh)
      await Bun.sleep(20)
      if (refresh) token = await tokenFor('42')
      return token
    },
  })
  const pages = await Promise.all([1, 2, 3, 4, 5].map(limit => it.client.list({ limit })))
  await eventually(() => it.client.status === 'open')
  expect(pages).toHaveLength(5)
  // The stream is one of those that share it.
  expect(asked.filter(Boolean)).toHaveLength(1)
})

test('a refused token of later is asked for anew, and after one that failed', async () => {
  await using service = serveScript()
  service.answerWith(401)
  let asked = 0
  const client = createNotifications({
    url: service.url,
    auth: refresh => {
      if (refresh && ++asked === 1) throw new Error('not now')
      return 'token'
    },
  })
  const errors: unknown[] = []
  for (const _ of [1, 2, 3]) await client.list().catch(error => errors.push(error))
  expect(asked).toBe(3)
  expect(errors).toMatchObject([{ message: 'not now' }, { status: 401 }, { status: 401 }])
})

test('a client whose cookie or token becomes another user ends, and shows nothing of theirs', async () => {
  await using db = await database()
  await using service = await serve(db, { RETRY_MS: '20' })
  let user = '42'
  using it = connect({ url: service.url, auth: () => tokenFor(user) })
  const seen: unknown[] = []
  it.client.on('*', ({ channel }) => seen.push(channel))
  expect((await it.client.list()).unread).toBe(0)
  await db.sql`select kairan.publish('user-43', '{}')`
  user = '43'
  await eventually(async () => (await pageOf(service.url, '43')).unread === 1)
  const error: RequestError = await it.client.list().catch(error => error)
  expect(error.message).toBe('user_changed')
  expect(it.client.state).toEqual({
    status: 'closed',
    reason: 'user_changed',
    unread: 0,
    unseen: 0,
  })

  // On its stream, too.
  user = '42'
  using other = connect({ url: service.url, auth: () => tokenFor(user) })
  await eventually(() => other.client.status === 'open')
  user = '43'
  await db.sql`select kairan.disconnect('42')`
  await eventually(() => other.client.status === 'closed')
  other.client.connect()
  await eventually(() => other.client.state.reason === 'user_changed')
  expect(seen).toEqual([])
})

test('a render on a server opens no stream, and may read the inbox', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`select kairan.publish('user-42', '{}')`
  const client = createNotifications({ url: service.url, auth: () => tokenFor('42') })
  expect(client.state).toEqual({ status: 'connecting', reason: null, unread: null, unseen: null })
  await eventually(async () => (await client.list()).unread === 1)
  expect(client.unread).toBe(1)
  expect(service.service.streams).toBe(0)
  client.on('*', () => undefined)
  await eventually(() => service.service.streams === 1)
  client.close()
})
