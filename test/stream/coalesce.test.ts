import { expect, test } from 'bun:test'
import { frameOf } from '../../src/log/event.ts'
import { createCoalesce } from '../../src/stream/coalesce.ts'

const frame = (seq: number) =>
  frameOf(
    {
      seq,
      id: 'a',
      channel: 'all-users',
      type: null,
      createdAt: '',
      expiresAt: null,
      payload: '{}',
      metadata: null,
    },
    'e',
  )

const [one, two, three] = [frame(1), frame(2), frame(3)]
const heartbeat = new TextEncoder().encode(':\n\n')
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

test('streams that write the same frames share one copy', () => {
  const coalesce = createCoalesce()
  expect(coalesce([one, two])).toBe(coalesce([one, two]))
  expect(coalesce([one])).toBe(one.bytes)
})

test('never gives one stream what is for another', () => {
  const coalesce = createCoalesce()
  const rounds = [
    [one, two],
    [one, three],
    [one, two, three],
    [two, one],
    [one, heartbeat, two],
    [one, two],
  ]
  for (const round of rounds) {
    const expected = round
      .map(item => text(item instanceof Uint8Array ? item : item.bytes))
      .join('')
    expect(text(coalesce(round))).toBe(expected)
  }
})
