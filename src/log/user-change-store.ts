import type { Sql } from '../postgres/connect.ts'
import { endOf, type Snapshot } from './snapshot.ts'

/** Something that was told of a user, as its row says it. */
export type Told = {
  /** The transaction that told it. */
  xid: bigint
  /** JSON: see user-change.ts and withdrawal.ts. */
  change: string
}

/** A part of what was told of users. */
export type Look = {
  told: Told[]
  /** The snapshot in which it was read. */
  now: Snapshot
  /** Where the next part begins; null when this is the last. */
  after: number | null
  /** Whether it is of an earlier time than `seen`: of a server that has lost transactions. */
  isOlder: boolean
}

/** So many are read at once. */
const most = 1000

/** What was told of users since `seen`, in the order of its ids, after this one. */
export const lookAtChanges = async (
  sql: Sql,
  seen: Snapshot | null,
  after: number,
): Promise<Look> => {
  const rows = await sql<{ now: string; id: number; xid: string; change: string | null }[]>`
    select pg_current_snapshot()::text as now, c.id, c.xid, c.change
    from (select) one
    left join (
      select id, xid::text, change::text as change from kairan.user_changes
      where ${unseen(sql, seen)} and id > ${after} order by id limit ${most}
    ) c on true
    order by c.id`
  const [first] = rows
  if (!first) throw new Error('Postgres gave no snapshot')
  return {
    told: rows.flatMap(({ xid, change }) => (change === null ? [] : { xid: BigInt(xid), change })),
    now: first.now,
    after: rows.length === most ? (rows.at(-1)?.id ?? null) : null,
    isOlder: seen !== null && endOf(first.now) < endOf(seen),
  }
}

/** The condition for changes that were not yet committed in the snapshot `seen`; for none without one. */
export const unseen = (sql: Sql, seen: Snapshot | null) =>
  seen === null
    ? sql`false`
    : sql`
      xid >= pg_snapshot_xmin(${seen}::text::pg_snapshot)
      and not pg_visible_in_snapshot(xid, ${seen}::text::pg_snapshot)`
