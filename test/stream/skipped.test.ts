import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { Skipped } from '../../src/stream/skipped.ts'

const event = fc.record({
  channel: fc.constantFrom('a', 'b', 'c'),
  isSent: fc.boolean(),
  /** How far the log goes on to it: other channels are between. */
  step: fc.integer({ min: 1, max: 3 }),
})

test('what was skipped is in its ranges, and nothing that was sent', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), fc.nat(100), (events, cut) => {
      const skipped = new Skipped()
      let seq = 0
      const seen = events.map(({ channel, isSent, step }) => {
        seq += step
        if (isSent) skipped.sent(seq)
        else expect(skipped.add(channel, seq)).toBe(0)
        return { channel, isSent, seq }
      })
      const isIn = (channel: string, seq: number) =>
        skipped.of(['a', 'b', 'c'])[channel]?.some(([from, to]) => from <= seq && seq <= to) ??
        false
      for (const { channel, isSent, seq } of seen) expect(isIn(channel, seq)).toBe(!isSent)
      skipped.cutAfter(cut)
      for (const { channel, isSent, seq } of seen) {
        expect(isIn(channel, seq)).toBe(!isSent && seq <= cut)
      }
    }),
  )
})

test('it stays small: of too many the older ones are forgotten, and what is skipped at a stretch is one range', () => {
  const skipped = new Skipped()
  for (let seq = 1; seq <= 100_000; seq++) skipped.add('quiet', seq)
  expect(skipped.of(['quiet'])).toEqual({ quiet: [[1, 100_000]] })
  let forgotten = 0
  for (let seq = 100_001; seq <= 110_000; seq += 2) {
    skipped.sent(seq)
    forgotten = Math.max(forgotten, skipped.add('quiet', seq + 1))
  }
  const ranges = skipped.of(['quiet']).quiet ?? []
  expect(ranges.length).toBeLessThanOrEqual(1000)
  expect(ranges.length).toBeGreaterThan(400)
  expect(forgotten).toBeGreaterThan(100_000)
  // All that was skipped after what is forgotten is there.
  expect(ranges[0]?.[0]).toBeLessThanOrEqual(forgotten + 2)
  expect(ranges.at(-1)).toEqual([110_000, 110_000])
})
