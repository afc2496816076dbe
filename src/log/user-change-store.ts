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

/** So many are read at once, and about so many bytes of them. */
const most = 1000
const mostBytes = 4 * 1024 * 1024

/** What was told of users since `seen`, in the order of its ids, after this one. */
export const lookAtChanges = async (
  sql: Sql,
  seen: Snapshot | null,
  after: number,
): Promise<Look> => {
  const rows = await sql<
    { now: string; id: number; xid: string; change: string | null; total: number }[]
  >`
    select pg_current_snapshot()::text as now, c.*
    from (select) one
    left join (
      select c.id, c.xid, u.change::text as change, c.total
      from (
        select id, xid::text, bytes, sum(bytes) over (order by id) as total
        from (
          select id, xid, bytes from kairan.user_changes
          where ${isUnseen(sql, seen)} and id > ${after === 0 ? beforeUnseen(sql, seen) : sql`${after}`}
          order by id limit ${most}
        ) c
      ) c
      join kairan.user_changes u on u.id = c.id
      where c.total - c.bytes < ${mostBytes}
    ) c on true
    order by c.id`
  const [first] = rows
  if (!first) throw new Error('Postgres gave no snapshot')
  const last = rows.at(-1)
  const isFull = rows.length === most || (last?.total ?? 0) >= mostBytes
  return {
    told: rows.flatMap(({ xid, change }) => (change === null ? [] : { xid: BigInt(xid), change })),
    now: first.now,
    after: isFull ? (last?.id ?? null) : null,
    isOlder: seen !== null && endOf(first.now) < endOf(seen),
  }
}

/** Whether there are changes that were not yet committed in the snapshot `seen`; false without one. */
export const hasUnseen = (sql: Sql, seen: Snapshot | null) =>
  seen === null
    ? sql`false`
    : sql`
      exists (select from kairan.user_changes where xid >= pg_snapshot_xmax(${seen}::text::pg_snapshot))
      or exists (
        select from pg_snapshot_xip(${seen}::text::pg_snapshot) x join kairan.user_changes c on c.xid = x
      )`

const isUnseen = (sql: Sql, seen: Snapshot | null) =>
  seen === null ? sql`false` : sql`not pg_visible_in_snapshot(xid, ${seen}::text::pg_snapshot)`

/**
 * The id before that of the first of them. While a transaction is open, all that was told since it began could be new by
 * its xid, and may be very much: from there on it is read in the order of ids.
 */
const beforeUnseen = (sql: Sql, seen: Snapshot | null) =>
  seen === null
    ? sql`0`
    : sql`(
        -- An expression: otherwise it walks along the ids, to find the lowest.
        select min(u.id + 0) - 1
        from (
          select id from kairan.user_changes where xid >= pg_snapshot_xmax(${seen}::text::pg_snapshot)
          union all
          select c.id
          from pg_snapshot_xip(${seen}::text::pg_snapshot) x join kairan.user_changes c on c.xid = x
        ) u
      )`
