import { createBatchSize } from '../lib/batch-size.ts'
import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createRounds, type Rounds } from '../lib/rounds.ts'
import type { Database } from '../postgres/database.ts'

type Decided = { looked: number; made: number; reached: string | null }

/** About so many at once; fewer where it takes longer to find out what was received. */
const piece = { most: 500, least: 5, slowMs: 1000 }

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
}): Rounds => {
  const { database, everyMs, isNeeded } = options
  let looks = 0
  let after = '-infinity'
  const size = createBatchSize(piece)

  const decide = async (): Promise<Decided | undefined> => {
    if (looks++ % fromStart === 0) after = '-infinity'
    // What was removed is in the way while somebody holds a snapshot, so it does not begin anew each time. A minute
    // is more than lies between the time of a row and its commit.
    const [decided] = await size.run(most =>
      database.run(
        sql => sql<Decided[]>`
          select looked, made, (reached - interval '1 minute')::text as reached
          from kairan.decide_follow_ups(${after}::text::timestamptz, ${most}::int)`,
      ),
    )
    return decided
  }

  return createRounds({
    everyMs,
    isNeeded,
    async round() {
      const decided = await decide()
      after = decided?.reached ?? after
      const { looked = 0, made = 0 } = decided ?? {}
      if (looked > 0) options.onDecided(made, looked - made)
      // There may be more; others get their turn in between.
      return looked > 0 ? 0 : everyMs
    },
    failed: error =>
      options.report.warn(
        { error: messageOf(error) },
        'It could not be decided yet what has to be followed up.',
      ),
  })
}
