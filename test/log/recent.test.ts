import { expect, test } from 'bun:test'
import type { Event } from '../../src/log/event.ts'
import { createRecent } from '../../src/log/recent.ts'

const event = (seq: number, channel = 'all-users', payload = '{}'): Event => ({
  seq,
  id: null,
  channel,
  type: null,
  createdAt: '',
  expiresAt: null,
  payload,
  metadata: null,
})

const seqs = (events: Event[]) => events.map(({ seq }) => seq)

test('covers what follows its start, until it forgets the oldest', () => {
  const recent = createRecent({ start: 10, maxEvents: 3, maxBytes: 1000 })
  recent.add([event(11), event(12), event(13)], 13)
  expect([9, 10, 13, 14].map(recent.covers)).toEqual([false, true, true, false])

  recent.add([event(14)], 14)
  expect([10, 11, 14].map(recent.covers)).toEqual([false, true, true])
  expect(seqs(recent.page(['all-users'], 11, 1000).events)).toEqual([12, 13, 14])
})

test('holds no more bytes of payloads than it may', () => {
  const recent = createRecent({ start: 0, maxEvents: 1000, maxBytes: 100 })
  const payload = 'x'.repeat(40)
  recent.add([event(1, 'a', payload), event(2, 'a', payload), event(3, 'a', payload)], 3)
  expect([0, 1].map(recent.covers)).toEqual([false, true])
})

test('counts the metadata, too: in what it holds and in what goes into a page', () => {
  const recent = createRecent({ start: 0, maxEvents: 1000, maxBytes: 1000 })
  const metadata = JSON.stringify({ x: 'x'.repeat(90) })
  for (let seq = 1; seq <= 100; seq++) recent.add([{ ...event(seq), metadata }], seq)
  expect(recent.countAfter(0)).toBeLessThanOrEqual(10)
  expect(recent.page(['all-users'], 95, 150).events.length).toBeLessThanOrEqual(2)
})

test('pages through the channels that are asked for, and ends at its end', () => {
  const recent = createRecent({ start: 0, maxEvents: 1000, maxBytes: 1_000_000 })
  const payload = 'x'.repeat(10)
  for (let seq = 1; seq <= 100; seq++) {
    recent.add([event(seq, seq % 2 ? 'odd' : 'even', payload)], seq)
  }
  const got: (number | null)[] = []
  let after = 4
  while (after < 100) {
    const page = recent.page(['odd'], after, 50)
    expect(page.events.length).toBeLessThanOrEqual(5)
    got.push(...seqs(page.events))
    after = page.end
  }
  expect(got).toEqual(Array.from({ length: 48 }, (_, index) => 5 + 2 * index))
  expect(after).toBe(100)
})

test('goes on over numbers that were skipped, and over many more events than it holds', () => {
  const recent = createRecent({ start: 0, maxEvents: 100, maxBytes: 1_000_000 })
  for (let seq = 5; seq <= 50_000; seq += 5) recent.add([event(seq)], seq)
  expect(recent.countAfter(49_990)).toBe(2)
  expect(recent.covers(49_000)).toBe(false)
  expect(seqs(recent.page(['all-users'], 49_988, 1000).events)).toEqual([49_990, 49_995, 50_000])
})

test('leaves out what has expired meanwhile', () => {
  const recent = createRecent({ start: 0, maxEvents: 10, maxBytes: 1000 })
  recent.add([{ ...event(1), expiresAt: 1 }, event(2)], 2)
  expect(seqs(recent.page(['all-users'], 0, 1000).events)).toEqual([2])
})
