import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createWorkLoop } from '../lib/work-loop.ts'
import type { Database } from '../postgres/database.ts'

export type Scheduler = { start(): void; stop(): Promise<void> }

/** So many at once hold up what others publish by few milliseconds. */
const piece = 250

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
}): Scheduler => {
  const { database, everyMs } = options
  let isStopped = false
  const loop = createWorkLoop({
    async work() {
      if (!options.isNeeded()) {
        loop.schedule(everyMs)
        return 0
      }
      const began = performance.now()
      const [row] = await database.run(
        sql => sql<{ sent: number }[]>`select kairan.send_due(${piece}::int) as sent`,
      )
      // There may be more. A third of the time is for what others publish.
      const took = performance.now() - began
      if (!isStopped) loop.schedule(row?.sent ? Math.min(took / 2, everyMs) : everyMs)
      return 0
    },
    failed: error =>
      options.report.warn({ error: messageOf(error) }, 'What is due could not be sent yet.'),
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
