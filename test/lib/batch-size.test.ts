import { expect, test } from 'bun:test'
import { createBatchSize } from '../../src/lib/batch-size.ts'

test('takes fewer after a step that failed, and grows again, between its limits', async () => {
  const size = createBatchSize({ most: 100, least: 3, slowMs: 60_000 })
  const taken: number[] = []
  const step = (fails: boolean) =>
    size.run(async some => {
      taken.push(some)
      if (fails) throw new Error('too late')
      return some
    })
  expect(await step(false)).toBe(100)
  for (let attempt = 0; attempt < 4; attempt++) await expect(step(true)).rejects.toThrow('too late')
  for (let attempt = 0; attempt < 7; attempt++) await step(false)
  expect(taken).toEqual([100, 100, 25, 6, 3, 3, 6, 12, 24, 48, 96, 100])
})

test('takes fewer after a step that was slow', async () => {
  const size = createBatchSize({ most: 100, least: 3, slowMs: -1 })
  const taken: number[] = []
  for (let step = 0; step < 7; step++) await size.run(async some => taken.push(some))
  expect(taken).toEqual([100, 50, 25, 12, 6, 3, 3])
})
