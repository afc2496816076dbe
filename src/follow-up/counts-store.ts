import type { Database } from '../postgres/database.ts'

/** How many follow-ups there are in each state. More than `most` of one are counted as `most`. */
export type FollowUpCounts = { waiting: number; taken: number; finished: number; given_up: number }

const most = 10_000

/** Counts along the indexes of `kairan.follow_ups`. One that was postponed counts as taken. */
export const countFollowUps = async (database: Database): Promise<FollowUpCounts> => {
  const [row] = await database.run(
    sql => sql<FollowUpCounts[]>`
      select
        (select count(*)::int from (
          select from kairan.follow_ups where finished_at is null and available_at <= now() limit ${most}
        ) f) as waiting,
        (select count(*)::int from (
          select from kairan.follow_ups where finished_at is null and available_at > now() limit ${most}
        ) f) as taken,
        (select count(*)::int from (
          select from kairan.follow_ups where finished_at is not null and error is null limit ${most}
        ) f) as finished,
        (select count(*)::int from (
          select from kairan.follow_ups where finished_at is not null and error is not null limit ${most}
        ) f) as given_up`,
  )
  return row ?? { waiting: 0, taken: 0, finished: 0, given_up: 0 }
}
