import { expect, test } from 'bun:test'
import { createClock } from '../../src/observe/clock.ts'

test('believes the answer that came soonest, and notices a clock that was set', () => {
  const clock = createClock()
  expect(clock.aheadMs).toBeNull()
  // Read somewhere within 4 s, and within 2 ms.
  clock.observe(1000, 1000, 5000)
  expect(clock.aheadMs).toBe(-2000)
  clock.observe(6000, 6101, 6002)
  clock.observe(7000, 7000, 9000)
  expect(clock.aheadMs).toBe(100)
  for (let n = 0; n < 8; n++) clock.observe(10_000, 9001, 10_004)
  expect(clock.aheadMs).toBe(-1001)
})
