import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createWorkLoop, type WorkLoop } from '../lib/work-loop.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'

export type Retention = { start(): void; stop(): Promise<void> }

/**
 * Every `everyMs` or so, marks as failed what has expired, and removes what is older than `keepMs` and the
 * tickets and user changes that nobody needs any more. It works in small steps, each a transaction of its
 * own, so that nothing waits for it. Any instance may do it.
 */
export const createRetention = (options: {
  database: Database
  keepMs: number
  everyMs: number
  report: Report
}): Retention => {
  const { database, report } = options
  let isStopped = false
  let expiredUntil = '-infinity'

  const run = async () => {
    await expire()
    while (await step(sql => sql`select kairan.prune_tickets() as n`));
    while (await step(sql => sql`select kairan.prune_user_changes() as n`));
    const keep = `${options.keepMs} milliseconds`
    // One step of the floor, then what lies below it. First what an instance that died has left.
    do await prune()
    while (
      (await step(sql => sql`select kairan.raise_floor(${keep}::text::interval) as n`)) !== null
    )
    while (await step(sql => sql`select kairan.prune_inbox() as n`));
  }

  // Jitter, so that instances which were started together take turns.
  const pauseMs = () => options.everyMs * (0.5 + Math.random())

  const prune = async () => {
    while (await step(sql => sql`select kairan.prune() as n`));
  }

  const expire = async () => {
    while (!isStopped) {
      const [step] = await database.run(
        sql => sql<{ reached: string | null }[]>`
          select reached::text from kairan.expire_after(${expiredUntil}::text::timestamptz)`,
      )
      if (!step?.reached) return
      expiredUntil = step.reached
    }
  }

  /** What one small step says it did; null once it is stopped, or when there was nothing to do. */
  const step = async (ask: (sql: Sql) => PromiseLike<{ n: number | null }[]>) => {
    if (isStopped) return null
    const [row] = await database.run(ask)
    return row?.n ?? null
  }

  const loop: WorkLoop = createWorkLoop({
    async work() {
      await run()
      loop.schedule(pauseMs())
      return 0
    },
    failed: error =>
      report.warn(
        { error: messageOf(error) },
        'Old notifications could not be removed: trying again later.',
      ),
    delayMs: options.everyMs,
    retryMs: options.everyMs,
  })

  return {
    start: () => loop.schedule(pauseMs()),
    async stop() {
      isStopped = true
      await loop.stop()
    },
  }
}
