import { createBatchLookup } from '../lib/batch-lookup.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import type { Event } from './event.ts'
import type { Log, Page, Survey } from './log.ts'
import type { Snapshot } from './snapshot.ts'
import { hasUnseen } from './user-change-store.ts'

/** A batch of numbered deliveries, by which a log is recognised. */
export type Batch = { n: number; at: string }

/** What one turn of the dispatcher found. */
export type Advance = {
  /** The log, the seq given last in it, and the one up to which it may have been removed. */
  epoch: string
  head: number
  floor: number
  /** The newest batch. */
  batch: Batch
  /** Whether the batch that was known is not in this log: it was restored to an earlier state. */
  isOther: boolean
  /** How many deliveries were numbered; null when another instance is at it, or nothing had to be. */
  assigned: number | null
  events: Event[]
  /** The deliveries among those read that came too late to be sent. */
  expired: number[]
  /** The seq up to which the log has been read. */
  end: number
  /** Whether there may be more to number or to read. */
  more: boolean
  /** Whether something was told of users that is not in the snapshot `seen`: it comes before the events. */
  changed: boolean
  /** The snapshot in which it was looked for; null when that is not known. */
  now: Snapshot | null
  /** Whether publishers know that this instance is awake. */
  awake: boolean
  /** The session that answered, and the oldest transaction that was in progress before it numbered. */
  backend: number
  oldestTransaction: bigint
}

/** What the dispatcher knows before a turn. */
export type Known = {
  /** The seq up to which it has the log; null when it has none yet. */
  after: number | null
  seen: Snapshot | null
  batch: Batch | null
  /** For how long publishers need not ring; 0 when they should. */
  awakeMs: number
  /** Which instance says so, 0 to 999. */
  owner: number
  /** About how many deliveries to number; by default `turnRows`. */
  most?: number
}

/** How many rows are numbered or read in one turn of the dispatcher, at the most. */
export const turnRows = 4000
/** How many rows are read at once for one stream, at the most. */
const pageRows = 1000
/**
 * Whether something is pending on a channel is looked for among so many of its newest deliveries, and then
 * read from among so many: no index has the status, so that writing it costs little.
 */
const pendingRows = 1000
const pendingPageRows = 10_000
/** About how many bytes of payloads are read at once. */
const batchBytes = 4 * 1024 * 1024

/**
 * Numbers what was committed, and returns what follows `after` on all channels. Usually that is what it
 * numbered; otherwise it reads the log. Whatever was told of users before one of the events was committed is
 * visible in the same snapshot.
 */
export const advance = async (sql: Sql, known: Known): Promise<Advance> => {
  const { after } = known
  const [first, ...rows] = await number(sql, known)
  if (!first || first.seq !== null) throw new Error('kairan.number gave no answer')
  const { prev, oldest, n, at, ...found } = first.state
  const state = { ...found, batch: { n, at }, oldestTransaction: BigInt(oldest), now: null }
  const { head, more } = state
  if (after === null) return { ...state, events: [], expired: [], end: head }
  if (prev === after || head <= after) {
    const page = toPage(rows.filter(row => row.seq !== null))
    // Payloads of many bytes are not all returned: the rest is read.
    const end = page.last ?? Math.min(head, after)
    return { ...state, ...page, end, more: more || end < head }
  }
  const read = await readAll(sql, after, known, batchBytes)
  const page = pageWithFloor(read, turnRows, batchBytes)
  return {
    ...state,
    ...page,
    end: page.last ?? after,
    more: page.more || more,
    changed: state.changed || read.some(row => row.changed),
  }
}

/**
 * Returns what follows `after` on all channels, which another instance has numbered. Whatever was told of users before
 * one of the events was committed is visible in the same snapshot.
 */
export const follow = async (sql: Sql, known: Known): Promise<Advance> => {
  const { after } = known
  const rows = await readAll(sql, after, known, batchBytes)
  const page = pageWithFloor(rows, turnRows, batchBytes)
  const [first] = rows
  if (!first) throw new Error('kairan.log is empty')
  // The last ones may have been taken out, to be delivered again.
  const end = page.more ? (page.last ?? first.head) : first.head
  return {
    ...page,
    epoch: first.epoch,
    head: first.head,
    batch: { n: first.n, at: first.at },
    isOther: first.is_other,
    changed: first.changed,
    now: first.now,
    assigned: null,
    awake: false,
    backend: first.backend,
    oldestTransaction: 0n,
    end,
    more: after !== null && page.more,
  }
}

/** The newest part of the log: the events after `start`, up to a head. */
export type Newest = { start: number; events: Event[] }

/** Reads the newest part of the log up to `head`: what a stream that returns soon has missed. */
export const newest = async (sql: Sql, head: number): Promise<Newest> => {
  const rows = await sql<((EventRow & { before: number }) | { seq: null; floor: number })[]>`
    select l.floor, page.*
    from kairan.log l
    left join (
      select ${eventColumns(sql)}, d.before
      from (
        select d.seq, d.channel, d.notification_id,
          sum(n.bytes) over (order by d.seq desc rows unbounded preceding) - n.bytes as bytes_after,
          lead(d.seq) over (order by d.seq desc) as before
        from (
          select * from kairan.numbered d where d.seq <= ${head} order by d.seq desc limit ${turnRows + 1}
        ) d
        join kairan.notifications n on n.id = d.notification_id
      ) d
      join kairan.notifications n on n.id = d.notification_id
      where d.bytes_after < ${batchBytes} and d.before is not null
    ) page on true
    order by page.seq`
  const [first] = rows
  if (!first) throw new Error('kairan.log is empty')
  const found = rows.filter(row => row.seq !== null)
  return { start: found[0]?.before ?? head, events: toPage(found).events }
}

type State = {
  epoch: string
  floor: number
  prev: number
  head: number
  assigned: number | null
  more: boolean
  changed: boolean
  n: number
  at: string
  isOther: boolean
  awake: boolean
  backend: number
  oldest: string
}

/** The state comes once, before the events: a column of a row costs the driver more time than anything else here. */
const number = (sql: Sql, { seen, batch, awakeMs, owner, most = turnRows }: Known) => sql<
  ({ state: State; seq: null } | (EventRow & { state: null }))[]
>`
  select state, seq, channel, id, type, created_at, expires_at, expired, payload, metadata, traceparent
  from kairan.number(
    ${most}, ${batchBytes}, ${seen}::text::pg_snapshot,
    ${batch?.n ?? null}::bigint, ${batch?.at ?? null}::text::timestamptz,
    ${awakeMs}::int, ${owner}::int
  )`

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

/** The log as it is in the snapshot `now`. */
type LogState = {
  epoch: string
  floor: number
  head: number
  n: number
  at: string
  is_other: boolean
  changed: boolean
  now: Snapshot
  backend: number
}

const readAll = (sql: Sql, after: number | null, { seen, batch }: Known, maxBytes: number) => sql<
  ((Row | { seq: null }) & LogState)[]
>`
  select s.epoch, s.floor, b.head, b.n, b.at::text as at,
    case
      when ${batch?.n ?? null}::bigint is null then false
      when exists (
        select from kairan.batches o
        where o.n = ${batch?.n ?? null}::bigint and o.at = ${batch?.at ?? null}::text::timestamptz
      ) then false
      -- One that has been removed says nothing.
      else ${batch?.n ?? null}::bigint >= (select o.n from kairan.batches o order by o.n limit 1)
    end as is_other,
    (${hasUnseen(sql, seen)}) as changed,
    pg_current_snapshot()::text as now, pg_backend_pid() as backend, page.*
  from kairan.log_state s
  cross join lateral (select * from kairan.batches b order by b.n desc limit 1) b
  -- The floor is of the same snapshot: it was raised before anything was removed.
  left join (
    select ${eventColumns(sql)}, d.total
    from (
      select d.seq, d.channel, d.notification_id, n.bytes,
        sum(n.bytes) over (order by d.seq rows unbounded preceding) as total
      from kairan.numbered d join kairan.notifications n on n.id = d.notification_id
      where d.seq > ${after}::bigint
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
              select from kairan.numbered where channel = c and seq > ${after} order by seq limit ${limit}
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
        select from (
          select d.status from kairan.numbered d where d.channel = c order by d.seq desc limit ${pendingRows}
        ) d
        where d.status in ('p', 'l')
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
      ${pendingOnly ? lowestPending(sql) : sql``}
      -- Joined before it is limited: a delivery without its notification must not make a full page look short.
      cross join lateral (
        select d.seq, d.channel, d.notification_id, n.bytes
        from kairan.numbered d join kairan.notifications n on n.id = d.notification_id
        where d.channel = c and d.seq > ${after} and d.seq <= ${upTo}
          ${pendingOnly ? sql`and d.seq >= lowest.seq and d.status in ('p', 'l')` : sql``}
        order by d.seq limit ${pageRows}
      ) d
      order by d.seq limit ${pageRows}
    ) d
    join kairan.notifications n on n.id = d.notification_id
    where d.total - d.bytes < ${maxBytes}
  ) page on true
  order by page.seq`

/** Where the newest deliveries of channel `c` begin, among which pending ones are looked for. */
const lowestPending = (sql: Sql) => sql`
  cross join lateral (
    select coalesce((
      select o.seq from kairan.numbered o where o.channel = c order by o.seq desc offset ${pendingPageRows} limit 1
    ), 0) as seq
  ) lowest`

type Floor = { floor: number }

/** What comes instead of rows when there are none. */
type Nothing = Floor & { seq: null }

const pageOf = (rows: ((Row & Floor) | Nothing)[], upTo: number, maxBytes: number): Page => {
  const { events, more, last, floor } = pageWithFloor(rows, pageRows, maxBytes)
  return { events, end: more && last !== undefined ? last : upTo, floor }
}

const pageWithFloor = (rows: ((Row & Floor) | Nothing)[], maxRows: number, maxBytes: number) => {
  const [first] = rows
  // There is always a row, as there is always a floor: none is no answer, and must not pass for "nothing".
  if (!first) throw new Error('kairan.log is empty')
  const found = rows.filter(row => row.seq !== null)
  const more = found.length === maxRows || (found.at(-1)?.total ?? 0) >= maxBytes
  return { ...toPage(found), more, floor: first.floor }
}

const toPage = (rows: EventRow[]) => ({
  events: rows.filter(({ expired }) => !expired).map(toEvent),
  expired: rows.filter(({ expired }) => expired).map(({ seq }) => seq),
  last: rows.at(-1)?.seq,
})

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
