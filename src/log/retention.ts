import { createPause } from '../lib/backoff.ts'
import { createBatchSize } from '../lib/batch-size.ts'
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
/** So many rows are removed at once, while that takes no longer than this. */
const rows = { most: 1000, least: 10, slowMs: 2000 }
const deliveries = { ...rows, most: 2500 }

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
  let expiredUntil: Expired = { at: '-infinity', place: '0' }
  let pruned = 0
  let runs = 0
  const deliveriesAtOnce = createBatchSize(deliveries)
  const pause = createPause()

  /** Also in the midst of much work: whoever is to do it instead goes on. */
  const isOver = () => isStopped || !options.isNeeded()

  const keep = `${options.keepMs} milliseconds`

  /** Each on its own: one that fails, as a row is what it is, must not keep the others from their work. */
  const run = async () => {
    if (isOver()) return
    let failure: unknown = null
    for (const task of tasks) {
      await task().catch(error => {
        failure ??= error
      })
    }
    if (failure !== null) throw failure
  }

  /** Does the same step until there is nothing left of it. */
  const inSteps = (ask: (sql: Sql, most: number) => PromiseLike<{ n: number | null }[]>) => {
    const size = createBatchSize(rows)
    return async () => {
      while (!isOver()) {
        const [row] = await size.run(most => database.run(sql => ask(sql, most)))
        if (!row?.n) return
      }
    }
  }

  // Jitter, so that instances which were started together take turns.
  const pauseMs = () => options.everyMs * (0.5 + Math.random())

  /** One step of the floor, then what lies below it. First what an instance that died has left. */
  const prune = async (pace: Pace) => {
    if (runs++ % fromStart === 0) pruned = 0
    do await pruneBelow(pace)
    while (!isOver() && (await raiseFloor()) !== null)
  }

  const raiseFloor = async () => {
    const [row] = await database.run(
      sql => sql<{ n: number | null }[]>`select kairan.raise_floor(${keep}::text::interval) as n`,
    )
    return row?.n ?? null
  }

  /** From where it came the last time: what was removed is in the way while somebody holds a snapshot. */
  const pruneBelow = async (pace: Pace) => {
    while (!isOver()) {
      const begin = performance.now()
      const [step] = await deliveriesAtOnce.run(most =>
        database.run(
          sql => sql<{ removed: number; reached: number | null; head: number }[]>`
            select p.removed, p.reached, l.head
            from kairan.prune(${pruned}, ${most}::int) p cross join kairan.log l`,
        ),
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
    let again: Expired | null = null
    while (!isOver()) {
      const { at, place } = expiredUntil
      const [step] = await database.run(
        sql => sql<{ reached: Expired | null; again: Expired | null }[]>`
          select case when reached is not null then
              jsonb_build_object('at', reached::text, 'place', reached_place::text)
            end as reached,
            case when again is not null then
              jsonb_build_object('at', again::text, 'place', again_place::text)
            end as again
          from kairan.expire_after(${at}::text::timestamptz, ${place}::text::bigint)`,
      )
      if (!step?.reached) break
      expiredUntil = step.reached
      again ??= step.again
    }
    expiredUntil = again ?? expiredUntil
  }

  const tasks = [
    expire,
    inSteps((sql, most) => sql`select kairan.prune_tickets(${most}::int) as n`),
    inSteps((sql, most) => sql`select kairan.prune_user_changes(${most}::int) as n`),
    inSteps(
      (sql, most) => sql`select kairan.prune_scheduled(${keep}::text::interval, ${most}::int) as n`,
    ),
    inSteps(
      (sql, most) =>
        sql`select kairan.prune_follow_ups(${keep}::text::interval, ${most}::int) as n`,
    ),
    inSteps(sql => sql`select kairan.prune_batches() as n`),
    inSteps(sql => sql`select kairan.prune_leases() as n`),
    () => prune(createPace()),
    inSteps((sql, most) => sql`select kairan.prune_inbox(${most}::int) as n`),
    inSteps((sql, most) => sql`select kairan.prune_audit(${most}::int) as n`),
    inSteps((sql, most) => sql`select kairan.prune_mutes(${most}::int) as n`),
  ]

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

/** Up to where the deliveries of what has expired were marked: of those that expire at the same moment, by place. */
type Expired = { at: string; place: string }

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
