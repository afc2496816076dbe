import { createPause } from '../lib/backoff.ts'
import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createWorkLoop, type WorkLoop } from '../lib/work-loop.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'

export type Retention = { start(): void; stop(): Promise<void> }

/** Each time after so many runs it looks for rows that were locked when it removed the others. */
const fromStart = 60
/**
 * After each step that removes deliveries it rests so many times as long as the step took, and at most a second: unless
 * more is published meanwhile than it removes.
 */
const restShare = 2
const maxRestMs = 1000

/**
 * Every `everyMs` or so, marks as failed what has expired, and removes what is older than `keepMs` and the
 * tickets and user changes that nobody needs any more. It works in small steps, each a transaction of its
 * own, so that nothing waits for it. The instance that numbers does it; two at a time do no harm.
 */
export const createRetention = (options: {
  database: Database
  keepMs: number
  everyMs: number
  /** Whether this instance is to do it. */
  isNeeded(): boolean
  report: Report
}): Retention => {
  const { database, report } = options
  let isStopped = false
  let expiredUntil = '-infinity'
  let pruned = 0
  let runs = 0
  const pause = createPause()

  /** Also in the midst of much work: whoever is to do it instead goes on. */
  const isOver = () => isStopped || !options.isNeeded()

  const run = async () => {
    if (isOver()) return
    await expire()
    while (await step(sql => sql`select kairan.prune_tickets() as n`));
    while (await step(sql => sql`select kairan.prune_user_changes() as n`));
    const keep = `${options.keepMs} milliseconds`
    while (await step(sql => sql`select kairan.prune_scheduled(${keep}::text::interval) as n`));
    while (await step(sql => sql`select kairan.prune_follow_ups(${keep}::text::interval) as n`));
    while (await step(sql => sql`select kairan.prune_batches() as n`));
    while (await step(sql => sql`select kairan.prune_leases() as n`));
    // One step of the floor, then what lies below it. First what an instance that died has left.
    if (runs++ % fromStart === 0) pruned = 0
    const pace = createPace()
    do await prune(pace)
    while (
      (await step(sql => sql`select kairan.raise_floor(${keep}::text::interval) as n`)) !== null
    )
    while (await step(sql => sql`select kairan.prune_inbox() as n`));
    while (await step(sql => sql`select kairan.prune_audit() as n`));
    while (await step(sql => sql`select kairan.prune_mutes() as n`));
  }

  // Jitter, so that instances which were started together take turns.
  const pauseMs = () => options.everyMs * (0.5 + Math.random())

  /** From where it came the last time: what was removed is in the way while somebody holds a snapshot. */
  const prune = async (pace: Pace) => {
    while (!isOver()) {
      const begin = performance.now()
      const [step] = await database.run(
        sql => sql<{ removed: number; reached: number | null; head: number }[]>`
          select p.removed, p.reached, l.head from kairan.prune(${pruned}) p cross join kairan.log l`,
      )
      if (!step?.removed) return
      pruned = step.reached ?? pruned
      const isBehind = pace.step(step.removed, step.head)
      // Where much is old at once, publishers get the rest of the CPU and of the disk.
      const tookMs = performance.now() - begin
      if (!isBehind && !isOver()) await pause.wait(Math.min(tookMs * restShare, maxRestMs))
    }
  }

  /** Begins the next time where it found the first delivery that somebody has locked. */
  const expire = async () => {
    let again: string | null = null
    while (!isOver()) {
      const [step] = await database.run(
        sql => sql<{ reached: string | null; again: string | null }[]>`
          select reached::text, again::text
          from kairan.expire_after(${expiredUntil}::text::timestamptz)`,
      )
      if (!step?.reached) break
      expiredUntil = step.reached
      again ??= step.again
    }
    expiredUntil = again ?? expiredUntil
  }

  /** What one small step says it did; null once it is over, or when there was nothing to do. */
  const step = async (ask: (sql: Sql) => PromiseLike<{ n: number | null }[]>) => {
    if (isOver()) return null
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
      pause.end()
      await loop.stop()
    },
  }
}

type Pace = ReturnType<typeof createPace>

/** Compares what one run removes with what is published while it lasts. */
export const createPace = () => {
  let removed = 0
  let first: number | null = null
  return {
    /** Says after a step, when the log has come to `head`, whether more was published than removed. */
    step(more: number, head: number) {
      removed += more
      first ??= head
      return head - first > removed
    },
  }
}
