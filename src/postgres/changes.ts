import { parseUserChange, type UserChange } from '../changes.ts'
import type { Sql } from './connect.ts'

/** A snapshot of Postgres', as text: which transactions had been committed when it was taken. */
export type Snapshot = string

/** What was told of users since `seen`, oldest first, and the snapshot of this look. */
export const lookAtChanges = async (
  sql: Sql,
  seen: Snapshot | null,
): Promise<{ changes: UserChange[]; seen: Snapshot }> => {
  const rows = await sql<{ now: string; change: string | null }[]>`
    select pg_current_snapshot()::text as now, c.change
    from (select) one
    left join (
      select (change || jsonb_build_object('id', id))::text as change
      from kairan.user_changes where ${unseen(sql, seen)} order by id
    ) c on true`
  const [first] = rows
  if (!first) throw new Error('Postgres gave no snapshot')
  const changes = rows.flatMap(({ change }) => (change && parseUserChange(change)) || [])
  return { changes, seen: first.now }
}

/** The condition for changes that were not yet committed in the snapshot `seen`; for none without one. */
export const unseen = (sql: Sql, seen: Snapshot | null) =>
  seen === null
    ? sql`false`
    : sql`
      xid >= pg_snapshot_xmin(${seen}::text::pg_snapshot)
      and not pg_visible_in_snapshot(xid, ${seen}::text::pg_snapshot)`
