import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createWorkLoop } from '../lib/work-loop.ts'
import type { Database } from '../postgres/database.ts'
import type { Message, Outcome, Post } from './webhook.ts'

export type Webhooks = {
  start(): void
  /** There are new follow-ups. */
  wake(): void
  stop(): Promise<void>
}

type FollowUp = Message & { follow_up: number; attempt: number }

/** Whoever stops waits so long for those that are being posted; then they are given back after their time. */
const lastPostsMs = 2000

/** One line in the log for so many failures as there are in this time. */
const reportEveryMs = 10_000

/**
 * Posts follow-ups, at most `atOnce` at the same time, so one that hangs keeps one place until its time is over. Any
 * number of instances do it. What fails is postponed by `kairan.postpone_follow_up`; what this instance takes with it
 * when it dies is given back after a minute.
 */
export const createWebhooks = (options: {
  database: Database
  post: Post
  atOnce: number
  everyMs: number
  onOutcome(outcome: 'sent' | 'failed' | 'given_up'): void
  report: Report
}): Webhooks => {
  const { database, atOnce, everyMs } = options
  const running = new Set<Promise<void>>()
  const stopping = new AbortController()
  const failures = createFailures(options.report)

  const deliver = async ({ follow_up, attempt, ...message }: FollowUp) => {
    const outcome = await options.post(message, stopping.signal)
    if (stopping.signal.aborted && !outcome.sent) return
    const isOver = await record(database, { follow_up, attempt }, outcome)
    if (!outcome.sent) failures.count(outcome.reason)
    options.onOutcome(outcome.sent ? 'sent' : isOver ? 'given_up' : 'failed')
  }

  const begin = (followUp: FollowUp) => {
    const work = deliver(followUp)
      // It is given back after its time, and posted again with the same id.
      .catch(error => failures.count(`its outcome could not be written: ${messageOf(error)}`))
      .finally(() => {
        running.delete(work)
        // Several that end together are one look.
        loop.schedule(10)
      })
    running.add(work)
  }

  const loop = createWorkLoop({
    async work() {
      const free = atOnce - running.size
      if (free <= 0 || stopping.signal.aborted) return 0
      const taken = await take(database, free)
      for (const followUp of taken) begin(followUp)
      if (taken.length < free) loop.schedule(everyMs)
      return 0
    },
    failed: error =>
      options.report.warn({ error: messageOf(error) }, 'Follow-ups could not be taken yet.'),
    delayMs: everyMs,
    retryMs: everyMs,
  })

  return {
    start: () => loop.schedule(),
    wake: () => void loop.flush(),
    async stop() {
      await loop.stop()
      await Promise.race([Promise.all(running), Bun.sleep(lastPostsMs)])
      stopping.abort()
      await Promise.all(running)
    },
  }
}

/** The body is made by Postgres, so the numbers of a payload keep all their digits. */
const take = (database: Database, most: number) =>
  database.run(
    sql => sql<FollowUp[]>`
      select f.id as follow_up, f.attempts as attempt, 'followup_' || f.id || '_' || f.notification_id as id, json_build_object(
        'type', 'follow_up.created',
        'timestamp', kairan.iso(f.created_at),
        'data', json_build_object(
          'id', f.id, 'notificationId', f.notification_id, 'userId', f.user_id, 'channel', f.channel,
          'type', f.type, 'payload', f.payload, 'publishedAt', kairan.iso(f.published_at),
          'dueAt', kairan.iso(f.due_at)
        )
      )::text as body
      from kairan.take_follow_ups(${most}::int, interval '1 minute') f`,
  )

/**
 * Resolves with whether it is finished. If it was frozen for so long that another instance has taken it since, it says
 * nothing about that attempt.
 */
const record = async (
  database: Database,
  { follow_up: id, attempt }: Pick<FollowUp, 'follow_up' | 'attempt'>,
  outcome: Outcome,
) => {
  if (outcome.sent || outcome.isFinal) {
    const error = outcome.sent ? null : `given up: ${outcome.reason}`
    await database.run(
      sql => sql`select kairan.finish_follow_up(${id}, ${error}::text, ${attempt})`,
    )
    return true
  }
  const delay = `${outcome.retryAfterMs ?? 0} milliseconds`
  const [row] = await database.run(
    sql => sql<{ again: boolean }[]>`
      select kairan.postpone_follow_up(${id}, ${outcome.reason}, ${delay}::text::interval, ${attempt}) is not null as again`,
  )
  return row?.again !== true
}

const createFailures = (report: Report) => {
  let failed = 0
  let reportedAt = Number.NEGATIVE_INFINITY
  return {
    count(reason: string) {
      failed++
      const now = performance.now()
      if (now - reportedAt < reportEveryMs) return
      reportedAt = now
      report.warn({ failed, reason }, 'A webhook failed: it is posted again later.')
    },
  }
}
