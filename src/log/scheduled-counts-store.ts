import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'

/**
 * How many notifications are scheduled, by state: `waiting` for their time, `overdue`, or `failed`, since they could
 * not be published. More than `most` of one are counted as `most`.
 */
export type ScheduledCounts = { waiting: number; overdue: number; failed: number }

const most = 10_000

/** What is due is sent within a second: what was due before this moment is overdue. */
export const overdueSince = (sql: Sql) => sql`now() - interval '5 seconds'`

/** Counts along the indexes of `kairan.scheduled`. */
export const countScheduled = async (database: Database): Promise<ScheduledCounts> => {
  const [row] = await database.run(
    sql => sql<ScheduledCounts[]>`
      select
        (select count(*)::int from (
          select from kairan.scheduled where error is null and send_at > now() limit ${most}
        ) s) as waiting,
        (select count(*)::int from (
          select from kairan.scheduled
          where error is null and send_at < ${overdueSince(sql)} limit ${most}
        ) s) as overdue,
        (select count(*)::int from (
          select from kairan.scheduled where error is not null limit ${most}
        ) s) as failed`,
  )
  return row ?? { waiting: 0, overdue: 0, failed: 0 }
}
