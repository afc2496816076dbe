import { expect, test } from 'bun:test'
import { chaos } from './chaos.ts'
import { mistakes, withMistake } from './mistakes.ts'

for (const name of Object.keys(mistakes)) {
  test(
    `is found out by the same harness: ${name}`,
    async () => {
      await using source = await withMistake(name)
      const { missed } = await chaos({
        seconds: 12,
        seed: 5,
        source: source.path,
        report: () => undefined,
        settleMs: 15_000,
      })
      expect(missed).toBeGreaterThan(0)
    },
    { timeout: 300_000 },
  )
}
