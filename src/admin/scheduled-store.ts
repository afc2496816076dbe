import { overdueSince } from '../log/scheduled-counts-store.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import type { ScheduledFilter, ScheduledRow, ScheduledState, ScheduledStore } from './scheduled.ts'

/** Largest number of rows that are read for one page, so that a filter that matches few rows stays cheap. */
const rowsLookedAt = 5000

const rowsFor = ({ channel, type, limit }: ScheduledFilter) =>
  channel === null && type === null ? limit : rowsLookedAt

export const createScheduledStore = (database: Database): ScheduledStore => ({
  async list(filter) {
    const { limit } = filter
    const [page] = await runForClient(database, sql => scheduledPage(sql, filter))
    const { rows, looked, last } = page ?? { rows: [], looked: 0, last: null }
    const full = rows.length === limit ? (rows.at(-1)?.place ?? null) : null
    return {
      scheduled: rows.map(({ place: _, ...row }) => row),
      next: full ?? (looked === rowsFor(filter) ? last : null),
    }
  },
})

type Page = { rows: (ScheduledRow & { place: string })[]; looked: number; last: string | null }

/** One page of what is scheduled. It reads along the indexes of `kairan.scheduled`, whatever their size. */
export const scheduledPage = (sql: Sql, filter: ScheduledFilter) => {
  const { channel, type, limit } = filter
  return sql<Page[]>`
    with looked as materialized (${looked(sql, filter)}),
    fitting as (
      select s.id, s.channels[1:10] as channels, cardinality(s.channels) as "channelCount", s.type,
        ${stateOf(sql)} as state, kairan.iso(s.send_at) as "sendAt", kairan.iso(s.created_at) as "createdAt",
        kairan.iso(s.expires_at) as "expiresAt", s.publisher, s.error, ${placeOf(sql)} as place
      from looked s
      where true
        ${channel === null ? sql`` : sql`and ${channel} = any(s.channels)`}
        ${type === null ? sql`` : sql`and s.type = ${type}`}
      order by s.send_at, s.id limit ${limit}
    )
    select coalesce((select json_agg(f) from fitting f), '[]') as rows,
      (select count(*)::int from looked) as looked,
      (select ${placeOf(sql)} from looked s order by s.send_at desc, s.id desc limit 1) as last`
}

/** What is due next, and what failed: each along its own index. */
const looked = (sql: Sql, filter: ScheduledFilter) => {
  const { state, before } = filter
  const most = rowsFor(filter)
  const [at = '', id = ''] = before?.split('_') ?? []
  const rest =
    before === null ? sql`` : sql`and (send_at, id) > (${timeAt(sql, at)}, ${id}::text::uuid)`
  const part = (where: ReturnType<Sql>) => sql`
    (
      select id, channels, type, send_at, created_at, expires_at, publisher, error
      from kairan.scheduled where ${where} ${rest} order by send_at, id limit ${most}
    )`
  const failed = part(sql`error is not null`)
  if (state === 'failed') return failed
  if (state !== null) return part(sql`error is null and ${periodOf(sql, state)}`)
  return sql`
    select * from (${part(sql`error is null`)} union all ${failed}) s
    order by send_at, id limit ${most}`
}

const periodOf = (sql: Sql, state: Exclude<ScheduledState, 'failed'>) =>
  state === 'overdue' ? sql`send_at < ${overdueSince(sql)}` : sql`send_at >= ${overdueSince(sql)}`

const stateOf = (sql: Sql) => sql`
  case
    when s.error is not null then 'failed'
    when s.send_at < ${overdueSince(sql)} then 'overdue' else 'waiting'
  end`

/** Its place in the order, for the next page: the moment in microseconds, and the id. */
const placeOf = (sql: Sql) => sql`(extract(epoch from s.send_at) * 1000000)::bigint || '_' || s.id`

/** The moment of a place. Seconds apart from the rest, as the product of an interval is a float. */
const timeAt = (sql: Sql, microseconds: string) => sql`
  (
    timestamptz 'epoch' + ${microseconds}::text::bigint / 1000000 * interval '1 second'
    + ${microseconds}::text::bigint % 1000000 * interval '1 microsecond'
  )`
