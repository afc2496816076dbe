import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createWorkLoop } from '../lib/work-loop.ts'
import type { Database } from '../postgres/database.ts'

export type Decisions = { start(): void; stop(): Promise<void> }

type Decided = { looked: number; made: number; reached: string | null }

/** Each time after so many looks it looks at all that is due: also at what was locked when it came by. */
const fromStart = 60

/**
 * Makes follow-ups of what was not received until its time, in pieces, about every `everyMs`. The instance
 * that numbers does it; should two do it, each decides about what the other is not deciding.
 */
export const createDecisions = (options: {
  database: Database
  everyMs: number
  /** Whether this instance is to do it. */
  isNeeded(): boolean
  /** Some were decided: so many follow-ups were made, and so many were not needed. */
  onDecided(made: number, needless: number): void
  report: Report
}): Decisions => {
  const { database, everyMs } = options
  let isStopped = false
  let looks = 0
  let after = '-infinity'

  const decide = async (): Promise<Decided | undefined> => {
    if (looks++ % fromStart === 0) after = '-infinity'
    // What was removed is in the way while somebody holds a snapshot, so it does not begin anew each time. A minute
    // is more than lies between the time of a row and its commit.
    const [decided] = await database.run(
      sql => sql<Decided[]>`
        select looked, made, (reached - interval '1 minute')::text as reached
        from kairan.decide_follow_ups(${after}::text::timestamptz)`,
    )
    return decided
  }

  const loop = createWorkLoop({
    async work() {
      if (!options.isNeeded()) {
        loop.schedule(everyMs)
        return 0
      }
      const decided = await decide()
      after = decided?.reached ?? after
      const { looked = 0, made = 0 } = decided ?? {}
      if (looked > 0) options.onDecided(made, looked - made)
      // There may be more; others get their turn in between.
      if (!isStopped) loop.schedule(looked > 0 ? 0 : everyMs)
      return 0
    },
    failed: error =>
      options.report.warn(
        { error: messageOf(error) },
        'It could not be decided yet what has to be followed up.',
      ),
    delayMs: everyMs,
    retryMs: everyMs,
  })
  return {
    start: () => loop.schedule(),
    async stop() {
      isStopped = true
      await loop.stop()
    },
  }
}
