import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createRounds, type Rounds } from '../lib/rounds.ts'
import type { Database } from '../postgres/database.ts'

/** So many at once hold up what others publish by few milliseconds; of large ones, as many as take about so long. */
const mostAtOnce = 250
const pieceMs = 500

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
  let piece = mostAtOnce
  const shrink = (share: number) => {
    piece = Math.max(1, Math.floor(piece / share))
  }
  return createRounds({
    everyMs,
    isNeeded,
    async round() {
      const began = performance.now()
      const [row] = await database.run(
        sql => sql<{ sent: number }[]>`select kairan.send_due(${piece}::int) as sent`,
      )
      const tookMs = performance.now() - began
      if (tookMs > pieceMs) shrink(2)
      else piece = Math.min(piece * 2, mostAtOnce)
      // There may be more. A third of the time is for what others publish.
      return row?.sent ? Math.min(tookMs / 2, everyMs) : everyMs
    },
    failed(error) {
      // What took too long may else do so for ever.
      shrink(4)
      options.report.warn({ error: messageOf(error) }, 'What is due could not be sent yet.')
    },
  })
}
