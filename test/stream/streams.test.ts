import { expect, test } from 'bun:test'
import type { Event } from '../../src/log/event.ts'
import type { Log, Page } from '../../src/log/log.ts'
import { createHub } from '../../src/stream/hub.ts'
import { createStreams } from '../../src/stream/streams.ts'
import { standingsOf } from '../support/connection.ts'

const admin = (seq: number): Event => ({
  seq,
  id: null,
  channel: 'admin-dashboard',
  type: null,
  createdAt: '',
  expiresAt: null,
  payload: `{"seq":${seq}}`,
  metadata: null,
})

/** Streams over a log and role levels that answer when the test says so. */
const setUp = () => {
  const hub = createHub({ queueBytes: 10_000, recentEvents: 1, recentBytes: 1000 })
  hub.begin('e', 10)
  const levels: PromiseWithResolvers<number>[] = []
  const pages: PromiseWithResolvers<Page>[] = []
  const extended: { expiresAt: number; written: PromiseWithResolvers<void> }[] = []
  const later = <T>(waiting: PromiseWithResolvers<T>[]) => {
    const answer = Promise.withResolvers<T>()
    waiting.push(answer)
    return answer.promise
  }
  const log: Log = {
    page: () => later(pages),
    hasPending: async () => true,
    pendingPage: async (_channel, _after, upTo) => ({ events: [], end: upTo, floor: 0 }),
    survey: async () => ({ epoch: 'e', head: 10, floor: 0, missed: 0 }),
  }
  const streams = createStreams({
    hub,
    log,
    standings: standingsOf(() => later(levels)),
    settings: {
      adminRoleLevel: 100,
      maxChannels: 1000,
      heartbeatMs: 10_000,
      retryMs: 1,
      maxStreamAgeMs: 60_000,
      replayLimit: 100,
      maxStreamsPerUser: 100,
    },
    presence: { opened: () => undefined, closed: () => undefined },
    metrics: {
      streamOpened: () => undefined,
      streamEnded: () => undefined,
      gap: () => undefined,
      lagging: () => undefined,
    },
    taken: () => undefined,
    receipts: { ended: () => undefined, returned: () => undefined, confirm: async () => undefined },
    limits: { leave: () => undefined },
    tickets: {
      extend(_, { expiresAt }) {
        const written = Promise.withResolvers<void>()
        extended.push({ expiresAt, written })
        return written.promise
      },
      release: async () => undefined,
    },
    report: { info: () => undefined, warn: () => undefined, error: () => undefined },
  })
  const open = (
    seq: number | null,
    asked?: string[],
    { signal } = new AbortController(),
    proof: string | null = null,
  ) =>
    streams.open({
      userId: '1',
      expiresAt: Number.MAX_SAFE_INTEGER,
      asked,
      subscribes: [],
      cursor: seq === null ? null : { epoch: 'e', seq },
      askedAt: performance.now(),
      isReturning: seq !== null,
      mayHaveRest: false,
      signal,
      address: null,
      proof,
      isFirst: false,
    })
  return { hub, levels, pages, extended, streams, open }
}

const turn = () => new Promise<void>(resolve => setImmediate(resolve))

/** Reads a stream to its end, in the background. */
const collect = (stream: AsyncIterable<Uint8Array>) => {
  const received = { text: '', ended: Promise.resolve() }
  const read = async () => {
    for await (const bytes of stream) received.text += new TextDecoder().decode(bytes)
  }
  received.ended = read()
  return received
}

test('a role level that changes while a stream is opened is looked up again', async () => {
  const { hub, levels, streams, open } = setUp()
  const opening = open(null)
  void streams.reauthorize('1')
  levels[0]?.resolve(100)
  await turn()
  levels[1]?.resolve(0)
  await opening
  expect(hub.subscriptions('1')[0]?.channels).toEqual(['user-1', 'all-users'])
})

test('a ticket gets the tokens of its stream in their order, each before it is said to be taken', async () => {
  const { hub, levels, extended, streams, open } = setUp()
  const opening = open(null, undefined, undefined, 'proof')
  levels[0]?.resolve(0)
  await opening
  const id = hub.subscriptions('1')[0]?.id ?? ''
  const taken: number[] = []
  const extend = async (expiresAt: number) => {
    if (await streams.extend(id, { userId: '1', expiresAt, subscribes: [] })) taken.push(expiresAt)
  }
  const both = Promise.all([extend(1), extend(2)])
  await turn()
  expect(extended.map(({ expiresAt }) => expiresAt)).toEqual([1])
  expect(taken).toEqual([])
  extended[0]?.written.resolve()
  await turn()
  expect([extended.map(({ expiresAt }) => expiresAt), taken]).toEqual([[1, 2], [1]])
  // One that can't be written is reported, and is no reason to end the stream.
  extended[1]?.written.reject(new Error('away'))
  await both
  expect(taken).toEqual([1, 2])
})

test('of two changes the later one counts, however long the first look-up takes', async () => {
  const { hub, levels, streams, open } = setUp()
  const opening = open(null)
  levels[0]?.resolve(100)
  await opening
  const first = streams.reauthorize('1')
  const second = streams.reauthorize('1')
  await turn()
  levels[2]?.resolve(0)
  await second
  // Asked before the second change: whatever it says, it is asked once more.
  levels[1]?.resolve(100)
  await turn()
  levels[3]?.resolve(0)
  await first
  expect(hub.subscriptions('1')[0]?.channels).toEqual(['user-1', 'all-users'])
})

test('of a channel that its user joins, a stream that is behind gets only what follows the join', async () => {
  const { hub, levels, pages, streams, open } = setUp()
  const leaving = new AbortController()
  const opening = open(5, undefined, leaving)
  levels[0]?.resolve(0)
  const stream = await opening
  const received = collect(stream)
  await turn()
  const promoted = streams.reauthorize('1')
  await turn()
  // Numbered after the join, and dispatched before it is known.
  hub.dispatch([admin(11)], 11)
  levels[1]?.resolve(100)
  await promoted
  pages[0]?.resolve({ events: [], end: 10, floor: 0 })
  await turn()
  pages[1]?.resolve({ events: [admin(6), admin(10), admin(11)], end: 11, floor: 0 })
  await turn()
  leaving.abort()
  await received.ended
  expect([...received.text.matchAll(/"seq":(\d+)/g)].map(([, seq]) => seq)).toEqual(['11'])
})

test('a page that was being read for a channel that is taken away is not sent', async () => {
  const { levels, pages, streams, open } = setUp()
  const opening = open(5)
  levels[0]?.resolve(100)
  const stream = await opening
  const received = collect(stream)
  await turn()
  const demoted = streams.reauthorize('1')
  await turn()
  levels[1]?.resolve(0)
  await demoted
  pages[0]?.resolve({ events: [admin(6), admin(7)], end: 10, floor: 0 })
  await turn()
  // Read again, for the channels that it has now.
  pages[1]?.resolve({ events: [], end: 10, floor: 0 })
  await turn()
  streams.apply({ action: 'disconnect', userId: '1' })
  await received.ended
  expect(received.text).toContain('"ready"')
  expect(received.text).not.toContain('admin-dashboard')
})

test('sends nothing while it is looked up whether it still may, and then misses nothing', async () => {
  const { hub, levels, pages, streams, open } = setUp()
  const opening = open(null)
  levels[0]?.resolve(0)
  const stream = await opening
  const received = collect(stream)
  await turn()
  const promoted = streams.reauthorize('1')
  hub.dispatch([admin(11), { ...admin(12), channel: 'all-users' }], 12)
  await turn()
  expect(received.text).not.toContain('"channel"')
  levels[1]?.resolve(100)
  await promoted
  await turn()
  pages[0]?.resolve({
    events: [admin(11), { ...admin(12), channel: 'all-users' }],
    end: 12,
    floor: 0,
  })
  await turn()
  hub.dispatch([admin(13)], 13)
  await turn()
  streams.apply({ action: 'disconnect', userId: '1' })
  await received.ended
  expect([...received.text.matchAll(/"seq":(\d+)/g)].map(([, seq]) => Number(seq))).toEqual([
    11, 12, 13,
  ])
})

test('a stream that is ended while its page is read writes nothing of it', async () => {
  for (const end of ['narrowed to nothing', 'disconnected', 'another log']) {
    const { hub, levels, pages, streams, open } = setUp()
    const opening = open(5, ['admin-dashboard'])
    levels[0]?.resolve(100)
    const stream = await opening
    let text = ''
    const reading = (async () => {
      for await (const bytes of stream) text += new TextDecoder().decode(bytes)
    })()
    await turn()
    if (end === 'disconnected') streams.apply({ action: 'disconnect', userId: '1' })
    else if (end === 'another log') hub.begin('f', 100)
    else {
      const demoted = streams.reauthorize('1')
      levels[1]?.resolve(0)
      await demoted
    }
    pages[0]?.resolve({ events: [admin(6)], end: 10, floor: 0 })
    await reading
    expect([end, text]).toEqual([end, expect.not.stringMatching(/admin-dashboard|id: f-/)])
  }
})

test('opens while the role levels of others change all the time', async () => {
  const { levels, streams, open } = setUp()
  const opening = open(null)
  for (let n = 0; n < 10; n++) {
    void streams.reauthorize('somebody else')
    await turn()
  }
  levels[0]?.resolve(0)
  await opening
  expect(levels).toHaveLength(1)
})

test('says a gap when retention removes what a stream was about to read', async () => {
  const { levels, pages, streams, open } = setUp()
  const opening = open(5)
  levels[0]?.resolve(0)
  const stream = await opening
  const received = collect(stream)
  await turn()
  pages[0]?.resolve({ events: [], end: 10, floor: 8 })
  await turn()
  streams.apply({ action: 'disconnect', userId: '1' })
  await received.ended
  expect(received.text).toContain('"type":"gap","reason":"retention","from":"e-5","to":"e-10"')
})

test('a stream whose role level can not be looked up again is sent away', async () => {
  const { hub, levels, streams, open } = setUp()
  const opening = open(null)
  levels[0]?.resolve(100)
  await opening
  const change = streams.reauthorize('1')
  await turn()
  levels[1]?.reject(new Error('away'))
  await change
  const [subscription] = hub.subscriptions('1')
  expect(subscription?.closed).toBe(true)
  expect(new TextDecoder().decode(subscription?.farewell ?? undefined)).toContain('"reconnect"')
})

test('a client that leaves while its role level is looked up leaves no stream behind', async () => {
  const { hub, levels, open } = setUp()
  const client = new AbortController()
  const opening = open(null, undefined, client)
  client.abort()
  levels[0]?.resolve(0)
  await expect(opening).rejects.toThrow('abort')
  expect(hub.size).toBe(0)
})

test('a stream ends when its client leaves, also while it waits for events', async () => {
  const { hub, levels, open } = setUp()
  const client = new AbortController()
  const opening = open(null, undefined, client)
  levels[0]?.resolve(0)
  const stream = await opening
  const reading = (async () => {
    for await (const _ of stream);
  })()
  await turn()
  client.abort()
  await reading
  expect(hub.size).toBe(0)
})

test('when changes may have been missed, no stream sends anything until its user was looked up', async () => {
  const { hub, levels, pages, streams, open } = setUp()
  const opening = open(null)
  levels[0]?.resolve(100)
  const stream = await opening
  const received = collect(stream)
  await turn()
  const looked = streams.reauthorize()
  // The event was committed with the demotion that this instance missed.
  hub.dispatch([admin(11), { ...admin(12), channel: 'all-users' }], 12)
  await turn()
  levels[1]?.resolve(0)
  await looked
  await turn()
  pages[0]?.resolve({ events: [{ ...admin(12), channel: 'all-users' }], end: 12, floor: 0 })
  await turn()
  streams.apply({ action: 'disconnect', userId: '1' })
  await received.ended
  expect([...received.text.matchAll(/"seq":(\d+)/g)].map(([, seq]) => Number(seq))).toEqual([12])
})

test('a disconnect while a stream is opened ends that stream', async () => {
  const { hub, levels, streams, open } = setUp()
  const opening = open(null)
  streams.apply({ action: 'disconnect', userId: '1' })
  levels[0]?.resolve(0)
  const stream = await opening
  let text = ''
  for await (const bytes of stream) text += new TextDecoder().decode(bytes)
  expect(text).toContain('"revoked"')
  expect(hub.size).toBe(0)

  // Whoever asks afterwards is let in.
  const next = open(null)
  levels[1]?.resolve(0)
  const again = await next
  expect(hub.subscriptions('1')[0]?.closed).toBe(false)
  await again.return()
})
