import { expect, test } from 'bun:test'
import { debianBinaries } from '../support/servers.ts'
import { followUpsUnderFaults } from './follow-ups.ts'
import { withMistake } from './mistakes.ts'

/** How long it tries. `FOLLOW_UPS_SECONDS=120 FOLLOW_UPS_SEED=7` takes longer than CI has time for. */
const seconds = Number(process.env.FOLLOW_UPS_SECONDS ?? 8)
const seed = Number(process.env.FOLLOW_UPS_SEED ?? Date.now() % 1_000_000)
const binaries = await debianBinaries()

test.skipIf(binaries === null)(
  `follows up all that was not received, nothing that was, and each once, while everything breaks (seed ${seed})`,
  async () => {
    await using source = await withMistake(undefined)
    const outcome = await followUpsUnderFaults({
      ...{ seconds, seed, source: source.path, binaries: binaries ?? '' },
      report: seconds > 30 ? console.log : () => undefined,
    })
    console.log({ seed, ...outcome })
    expect(outcome).toMatchObject({ early: 0, missing: 0, twice: 0, lost: 0 })
    expect(outcome.followedUp).toBeGreaterThan(5)
    expect(outcome.published - outcome.followedUp).toBeGreaterThan(5)
  },
  seconds * 1000 + 240_000,
)
