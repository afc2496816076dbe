import { createBatchSize } from '../lib/batch-size.ts'
import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createRounds, type Rounds } from '../lib/rounds.ts'
import type { Database } from '../postgres/database.ts'

/** So many at once hold up what others publish by few milliseconds; of large ones, as many as take about so long. */
const piece = { most: 250, least: 1, slowMs: 500 }

/**
 * Publishes what is due, in pieces, about every `everyMs`, on the instance that numbers. Should two do it, each takes
 * what the other has not taken.
 */
export const createScheduler = (options: {
  database: Database
  everyMs: number
  /** Whether this instance is to do it. */
  isNeeded(): boolean
  report: Report
}): Rounds => {
  const { database, everyMs, isNeeded } = options
  const size = createBatchSize(piece)
  return createRounds({
    everyMs,
    isNeeded,
    async round() {
      const began = performance.now()
      const [row] = await size.run(most =>
        database.run(sql => sql<{ sent: number }[]>`select kairan.send_due(${most}::int) as sent`),
      )
      // There may be more. A third of the time is for what others publish.
      return row?.sent ? Math.min((performance.now() - began) / 2, everyMs) : everyMs
    },
    failed: error =>
      options.report.warn({ error: messageOf(error) }, 'What is due could not be sent yet.'),
  })
}
