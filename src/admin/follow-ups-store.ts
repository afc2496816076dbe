import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import type { FollowUpFacts, FollowUpFilter, FollowUpRow, FollowUpStore } from './follow-ups.ts'

/** Largest number of rows that are read for one page. */
const rowsLookedAt = 5000

export const createFollowUpStore = (database: Database): FollowUpStore => {
  const ask = <T>(question: (sql: Sql) => PromiseLike<T>) => runForClient(database, question)
  return {
    async list(filter) {
      const { state, user, limit } = filter
      const [row] = await ask(
        sql => sql<{ rows: FollowUpRow[]; lowest: string | null; looked: number }[]>`
          with looked as materialized (${looked(sql, filter)}),
          fitting as (
            select ${columns(sql)} from looked f
            where true
              ${state === null ? sql`` : sql`and ${stateOf(sql)} = ${state}`}
              ${user === null ? sql`` : sql`and f.user_id = ${user}`}
            order by f.id desc limit ${limit}
          )
          select coalesce((select json_agg(f) from fitting f), '[]') as rows,
            (select min(id)::text from looked) as lowest, (select count(*)::int from looked) as looked`,
      )
      const rows = row?.rows ?? []
      const isFull = rows.length === limit
      const lowest = row?.looked === rowsLookedAt ? row.lowest : null
      return { followUps: rows, next: isFull ? (rows.at(-1)?.id ?? null) : lowest }
    },
    async about(notificationId, userId) {
      const [made] = await ask(
        sql => sql<Exclude<FollowUpFacts, { waitsUntil: string }>[]>`
          select ${columns(sql)} from kairan.follow_ups f
          where f.notification_id = ${notificationId} and f.user_id = ${userId}`,
      )
      if (made) return made
      const [due] = await ask(
        sql => sql<{ waitsUntil: string }[]>`
          select kairan.iso(due_at) as "waitsUntil" from kairan.follow_up_due
          where notification_id = ${notificationId} and user_id = ${userId}`,
      )
      return due ?? null
    },
    async retry(id, actor) {
      const [row] = await ask(
        sql => sql<{ done: boolean }[]>`
          with done as materialized (select kairan.retry_follow_up(${id}::text::bigint) as done),
          noted as (
            insert into kairan.audit (actor, action, target)
            select ${actor}::text, 'retry follow-up', ${id}::text from done where done
          )
          select done from done`,
      )
      return row?.done === true
    },
  }
}

/** The newest follow-ups; of those that were given up along their own index. */
const looked = (sql: Sql, { state, before }: FollowUpFilter) => sql`
  select * from kairan.follow_ups
  where true
    ${state === 'given_up' ? sql`and finished_at is not null and error is not null` : sql``}
    ${before === null ? sql`` : sql`and id < ${before}::text::bigint`}
  order by id desc limit ${rowsLookedAt}`

const stateOf = (sql: Sql) => sql`
  case
    when f.finished_at is not null then case when f.error is null then 'finished' else 'given_up' end
    when f.available_at > now() then 'taken' else 'waiting'
  end`

const columns = (sql: Sql) => sql`
  f.id::text as id, f.notification_id as "notificationId", f.user_id as "userId", f.type, ${stateOf(sql)} as state,
  kairan.iso(f.due_at) as "dueAt", kairan.iso(f.created_at) as "createdAt", kairan.iso(f.available_at) as "availableAt",
  f.attempts, kairan.iso(f.taken_at) as "takenAt", f.taken_by as "takenBy", kairan.iso(f.finished_at) as "finishedAt",
  f.error`
