import { createBatchLookup } from '../lib/batch-lookup.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import type { Event } from './event.ts'
import type { Log, Page, Survey } from './log.ts'
import { type Snapshot, unseen } from './user-change-store.ts'

/** What one turn of the dispatcher found. */
export type Advance = {
  /** The log, the seq given last in it, and the one up to which it may have been removed. */
  epoch: string
  head: number
  floor: number
  /** How many deliveries were numbered; null when another instance is at it. */
  assigned: number | null
  events: Event[]
  /** The deliveries among those read that came too late to be sent. */
  expired: number[]
  /** The seq up to which the log has been read. */
  end: number
  /** Which delivery has the seq after which was read, and which the last one; null where there is none. */
  anchor: string | null
  last: string | null
  /** Whether there may be more to number or to read. */
  more: boolean
  /** Whether something was told of users that is not in the snapshot `seen`: it comes before the events. */
  changed: boolean
  /** The session that answered, and the oldest transaction that was in progress before it numbered. */
  backend: number
  oldestTransaction: bigint
}

/** How many rows are numbered or read in one turn of the dispatcher, at the most. */
const turnRows = 4000
/** How many rows are read at once for one stream, at the most. */
const pageRows = 1000
/** About how many bytes of payloads are read at once. */
const batchBytes = 4 * 1024 * 1024

/**
 * Numbers what was committed and reads what follows `after`, on all channels. The two statements go to
 * the server together: one round trip, and what is read has been committed. Whatever was told of users
 * before one of the events was committed is visible in the same snapshot.
 */
export const advance = async (sql: Sql, after: number, seen: Snapshot | null): Promise<Advance> => {
  const [[state], rows] = await Promise.all([sequence(sql), readAll(sql, after, seen, batchBytes)])
  const [first] = rows
  if (!state || !first) throw new Error('kairan.log is empty')
  const { events, expired, more, last, floor } = pageWithFloor(rows, turnRows, batchBytes)
  return {
    epoch: state.epoch,
    head: state.head,
    floor,
    assigned: state.assigned,
    events,
    expired,
    end: last?.seq ?? after,
    anchor: first.anchor,
    last: last ? `${last.id} ${last.channel}` : null,
    more: more || state.assigned === turnRows,
    changed: first.changed,
    backend: state.backend,
    oldestTransaction: BigInt(state.oldest),
  }
}

type State = {
  assigned: number | null
  epoch: string
  head: number
  backend: number
  oldest: string
}

// `oldest` is of the statement's snapshot, which is older than those in the function: whoever had ended
// in it has been seen.
const sequence = (sql: Sql) => sql<State[]>`
  select s.assigned, coalesce(s.epoch, l.epoch) as epoch, coalesce(s.head, l.head) as head,
    pg_backend_pid() as backend, pg_snapshot_xmin(pg_current_snapshot())::text as oldest
  from kairan.sequence(${turnRows}) s, kairan.log l`

/** A delivery with its notification, as `eventColumns` gives it. */
export type EventRow = {
  seq: number
  channel: string
  id: string
  type: string | null
  /** Null when it is none that a date can have. */
  created_at: string | null
  expires_at: number | null
  expired: boolean
  payload: string
  metadata: string | null
  traceparent: string | null
}

type Row = EventRow & {
  /** The bytes of the payloads up to this one. */
  total: number
}

/**
 * The columns of an event, of a delivery `d` and its notification `n`. The payload goes as text, without its
 * metadata, from here to the browser: see event.ts.
 */
export const eventColumns = (sql: Sql) => sql`
  d.seq, d.channel, n.id, n.type,
  to_char(n.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at,
  (extract(epoch from n.expires_at) * 1000)::float8 as expires_at,
  coalesce(n.expires_at <= now(), false) as expired,
  (n.payload - 'metadata')::text as payload,
  case when jsonb_typeof(n.payload -> 'metadata') = 'object'
    then ((n.payload -> 'metadata') - 'deliveryChannel')::text
  end as metadata,
  n.traceparent`

type Changed = { changed: boolean; anchor: string | null }

const readAll = (sql: Sql, after: number, seen: Snapshot | null, maxBytes: number) => sql<
  (((Row & Floor) | Nothing) & Changed)[]
>`
  select l.floor, exists (select from kairan.user_changes where ${unseen(sql, seen)}) as changed,
    (select notification_id || ' ' || channel from kairan.deliveries where seq = ${after}) as anchor, page.*
  from kairan.log l
  -- The floor is of the same snapshot: it was raised before anything was removed.
  left join (
    select ${eventColumns(sql)}, d.total
    from (
      select d.seq, d.channel, d.notification_id, n.bytes,
        sum(n.bytes) over (order by d.seq rows unbounded preceding) as total
      from kairan.deliveries d join kairan.notifications n on n.id = d.notification_id
      where d.seq > ${after}
      order by d.seq limit ${turnRows}
    ) d
    join kairan.notifications n on n.id = d.notification_id
    where d.total - d.bytes < ${maxBytes}
  ) page on true
  order by page.seq`

/** The log for streams that return, read a page at a time: nothing is held between two pages. */
export const createLog = (database: Database): Log => ({
  hasPending: createBatchLookup(channels => pendingAmong(database, channels)),
  page: (channels, after, upTo, maxBytes) =>
    database.run(async sql =>
      pageOf(await readChannels(sql, channels, after, upTo, maxBytes, false), upTo, maxBytes),
    ),
  pendingPage: (channel, after, upTo, maxBytes) =>
    database.run(async sql =>
      pageOf(await readChannels(sql, [channel], after, upTo, maxBytes, true), upTo, maxBytes),
    ),
  survey: (channels, after, limit) =>
    database.run(async sql => {
      const [survey] = await sql<Survey[]>`
        select l.epoch, l.head, l.floor, (
          select count(*) from (
            select from jsonb_array_elements_text(${sql.json([...channels])}) c
            cross join lateral (
              select from kairan.deliveries where channel = c and seq > ${after} order by seq limit ${limit}
            ) d
            limit ${limit}
          ) counted
        ) as missed
        from kairan.log l`
      if (!survey) throw new Error('kairan.log is empty')
      return survey
    }),
})

const pendingAmong = async (database: Database, channels: string[]) => {
  const rows = await database.run(
    sql => sql<{ c: string }[]>`
      select c
      from (select distinct jsonb_array_elements_text(${sql.json(channels)}) c) asked
      where exists (
        select from kairan.deliveries d
        where d.channel = c and d.status = 'pending' and d.seq is not null
      )`,
  )
  const pending = new Set(rows.map(({ c }) => c))
  return (channel: string) => pending.has(channel)
}

// Per channel along its index, then merged: sorting all of a long backlog for each page would make
// reading it cost the square of its length.
const readChannels = (
  sql: Sql,
  channels: readonly string[],
  after: number,
  upTo: number,
  maxBytes: number,
  pendingOnly: boolean,
) => sql<((Row & Floor) | Nothing)[]>`
  select l.floor, page.*
  from kairan.log l
  left join (
    select ${eventColumns(sql)}, d.total
    from (
      select d.*, sum(d.bytes) over (order by d.seq) as total
      from jsonb_array_elements_text(${sql.json([...channels])}) c
      -- Joined before it is limited: a delivery without its notification must not make a full page look short.
      cross join lateral (
        select d.seq, d.channel, d.notification_id, n.bytes
        from kairan.deliveries d join kairan.notifications n on n.id = d.notification_id
        where d.channel = c and d.seq > ${after} and d.seq <= ${upTo}
          ${pendingOnly ? sql`and d.status = 'pending'` : sql``}
        order by d.seq limit ${pageRows}
      ) d
      order by d.seq limit ${pageRows}
    ) d
    join kairan.notifications n on n.id = d.notification_id
    where d.total - d.bytes < ${maxBytes}
  ) page on true
  order by page.seq`

type Floor = { floor: number }

/** What comes instead of rows when there are none. */
type Nothing = Floor & { seq: null }

const pageOf = (rows: ((Row & Floor) | Nothing)[], upTo: number, maxBytes: number): Page => {
  const { events, more, last, floor } = pageWithFloor(rows, pageRows, maxBytes)
  return { events, end: more && last ? last.seq : upTo, floor }
}

const pageWithFloor = (rows: ((Row & Floor) | Nothing)[], maxRows: number, maxBytes: number) => {
  const [first] = rows
  // There is always a row, as there is always a floor: none is no answer, and must not pass for "nothing".
  if (!first) throw new Error('kairan.log is empty')
  const page = toPage(
    rows.filter(row => row.seq !== null),
    maxRows,
    maxBytes,
  )
  return { ...page, floor: first.floor }
}

const toPage = (rows: Row[], maxRows: number, maxBytes: number) => {
  const last = rows.at(-1)
  return {
    events: rows.filter(({ expired }) => !expired).map(toEvent),
    expired: rows.filter(({ expired }) => expired).map(({ seq }) => seq),
    last,
    more: rows.length === maxRows || (last?.total ?? 0) >= maxBytes,
  }
}

export const toEvent = (row: EventRow): Event => ({
  seq: row.seq,
  id: row.id,
  channel: row.channel,
  type: row.type,
  createdAt: row.created_at ?? '',
  expiresAt: row.expires_at,
  payload: row.payload,
  metadata: row.metadata,
  traceparent: row.traceparent,
})
