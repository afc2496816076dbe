import { expect, test } from 'bun:test'
import { chaos } from './chaos.ts'
import { mistakes, withMistake } from './mistakes.ts'

const quiet = () => undefined
const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 1_000_000)
/** `bun run test:faults --seconds` runs as long as one likes. */
const seconds = Number(process.env.FAULTS_SECONDS ?? 25)

test(
  'loses, repeats, reorders and invents nothing while everything breaks',
  async () => {
    await using source = await withMistake(undefined)
    const outcome = await chaos({ seconds, seed, source: source.path, report: quiet })
    console.log({ seed, ...outcome })
    expect(outcome).toMatchObject({ missed: 0, duplicated: 0, outOfOrder: 0, ghosts: 0, gaps: 0 })
    expect(outcome.published).toBeGreaterThan(1000)
    expect(outcome.delivered).toBeGreaterThan(outcome.published)
    expect(Object.keys(outcome.faults).length).toBeGreaterThan(3)
  },
  { timeout: 300_000 },
)

test(
  'the same with NATS, which is restarted, frozen and lied on',
  async () => {
    await using source = await withMistake(undefined)
    const { path } = source
    const outcome = await chaos({ seconds: 12, seed, source: path, report: quiet, relay: 'nats' })
    console.log({ seed, ...outcome })
    expect(outcome).toMatchObject({ missed: 0, duplicated: 0, outOfOrder: 0, ghosts: 0, gaps: 0 })
    expect(outcome.lies.repeat).toBeGreaterThan(0)
  },
  { timeout: 300_000 },
)

for (const name of Object.keys(mistakes)) {
  test(
    `is found out by the same harness: ${name}`,
    async () => {
      await using source = await withMistake(name)
      // What a fault meets is up to the machine: it may be nothing that the mistake shows in.
      let missed = 0
      for (let seed = 5; seed < 8 && missed === 0; seed++) {
        const options = { source: source.path, report: quiet, settleMs: 15_000, untilMissed: true }
        missed = (await chaos({ seconds: 12, seed, ...options })).missed
      }
      expect(missed).toBeGreaterThan(0)
    },
    { timeout: 300_000 },
  )
}
