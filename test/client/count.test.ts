import { expect, test } from 'bun:test'
import { createCounter } from '../../src/client/count.ts'
import type { NotificationEvent } from '../../src/client/types.ts'
import { eventually } from '../support/eventually.ts'

/** A counter, what it shows, and how often it has asked. */
const counting = () => {
  const seen = { unread: -1, unseen: -1, asked: 0 }
  const counter = createCounter({
    ask: async () => void seen.asked++,
    onChange(counts) {
      Object.assign(seen, counts)
    },
  })
  const event = (seq: number | null, more: Partial<NotificationEvent> = {}, at = Date.now()) => {
    const cursor = seq === null ? null : `a-${seq}`
    counter.add(
      {
        channel: 'c',
        payload: { metadata: { deliveryChannel: 'c' } },
        id: null,
        type: null,
        createdAt: '',
        replayed: false,
        cursor,
        ...more,
      },
      at,
    )
  }
  return { counter, seen, event }
}

test('adds what came after where a count was, whichever is heard first', () => {
  const { counter, seen, event } = counting()
  for (const seq of [4, 5, 6]) event(seq)
  counter.learn({ unread: 10, unseen: 5, cursor: 'a-05' })
  expect(seen).toMatchObject({ unread: 11, unseen: 6 })
  event(7)
  event(null)
  expect(seen).toMatchObject({ unread: 12, unseen: 7 })
  counter.learn({ unread: 10, unseen: 5, cursor: 'a-03' })
  expect(seen).toMatchObject({ unread: 14, unseen: 9 })
})

test('of two counts, the one with the higher revision is of later, though its cursor is behind', () => {
  const { counter, seen, event } = counting()
  for (const seq of [1, 2, 3]) event(seq)
  counter.learn({ unread: 0, unseen: 0, cursor: 'a-01', revision: 7 })
  expect(seen.unread).toBe(2)
  counter.learn({ unread: 3, unseen: 1, cursor: 'a-03', revision: 6 })
  counter.learn({ unread: 3, unseen: 1, cursor: 'a-03' }, 6)
  expect(seen.unread).toBe(2)
  // What retention or a restore has taken: nothing else was learnt since it was asked.
  counter.learn({ unread: 1, unseen: 0, cursor: 'a-03' }, 7)
  expect(seen.unread).toBe(1)
})

test('stops at a thousand, as the service does', () => {
  const { counter, seen, event } = counting()
  counter.learn({ unread: 999, unseen: 499, cursor: 'a-0' })
  for (const seq of [1, 2, 3]) event(seq)
  expect(seen.unread).toBe(1000)
})

const again: [when: string, (it: ReturnType<typeof counting>) => void][] = [
  ['a stream begins', ({ counter }) => counter.begin('a-9', true)],
  ['something is redelivered', ({ event }) => event(10, {}, 0)],
  [
    'something comes that was published before the count',
    ({ event }) => event(10, {}, Date.parse('2020-01-01')),
  ],
  ['something has expired', ({ event }) => event(10, { expiresAt: '2020-01-01T00:00:00Z' })],
  [
    'one that was counted expires',
    ({ counter }) =>
      counter.learn({ unread: 5, unseen: 2, cursor: 'a-9', unreadUntil: '2020-01-01T00:00:00Z' }),
  ],
  [
    'a count is of before the stream began',
    ({ counter }) => {
      counter.begin('a-8', false)
      counter.learn({ unread: 5, unseen: 2, cursor: 'a-7' })
    },
  ],
  [
    'a count is of before what is remembered',
    ({ counter, event }) => {
      for (let seq = 10; seq < 1020; seq++) event(seq)
      counter.learn({ unread: 5, unseen: 2, cursor: 'a-9' })
    },
  ],
]
test.each(again)('asks again when %s', async (_, doIt) => {
  const it = counting()
  it.counter.setClock(new Date().toISOString())
  doIt(it)
  it.counter.learn({ unread: 5, unseen: 2, cursor: 'a-9' })
  doIt(it)
  await eventually(() => it.seen.asked > 0)
  it.counter.stop()
})

test('asks nothing where nobody wants to know, nor for what it can tell', async () => {
  const unasked = counting()
  for (const [, doIt] of again.slice(0, 4)) doIt(unasked)
  const { counter, seen, event } = counting()
  counter.setClock(new Date(Date.now() - 1000).toISOString())
  counter.learn({
    unread: 5,
    unseen: 2,
    cursor: 'a-9',
    unreadUntil: new Date(Date.now() + 60_000).toISOString(),
  })
  event(10)
  // What is no date, or is too far away, is not asked for again and again.
  for (const expiresAt of ['294276-12-31T00:00:00.000Z', '9999-12-31T23:59:59.999Z', 'soon']) {
    event(11, { expiresAt })
    counter.learn({ unread: 5, unseen: 2, cursor: 'a-9', unreadUntil: expiresAt })
  }
  const end = Date.now() + 100
  await eventually(() => Date.now() > end)
  expect([unasked.seen.asked, seen.asked, seen.unread]).toEqual([0, 0, 9])
  counter.stop()
})
