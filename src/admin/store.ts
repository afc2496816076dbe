import { parseObject } from '../lib/json.ts'
import { overdueSince } from '../log/scheduled-counts-store.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import type {
  AdminStore,
  AuditEntry,
  DeliveryFacts,
  DeliveryFilter,
  DeliveryRow,
  Instance,
  OnlineUser,
  StreamRow,
} from './admin.ts'

/** Largest number of rows that are read for one page, so that a filter that matches few rows stays cheap. */
const rowsLookedAt = 5000
/** Largest number of rows that are read to count. */
const rowsCounted = 100_000
/** Of this many rows the payloads are read for one page: they have up to 64 KiB each. */
const payloadsLookedAt = 1000

/** Answers the dashboard's questions from the database. Every query is bounded. */
export const createAdminStore = (database: Database): AdminStore => {
  const ask = <T>(question: (sql: Sql) => PromiseLike<T>) => runForClient(database, question)

  return {
    async overview() {
      const [[state], instances] = await Promise.all([ask(readState), ask(readInstances)])
      if (!state) throw new Error('kairan.log is empty')
      return { ...state, instances: [...instances] }
    },
    async moment() {
      const [[log], instances] = await Promise.all([
        ask(
          sql => sql<{ now: string; head: number }[]>`
            select ${iso(sql, 'now()')} as now, head from kairan.log`,
        ),
        ask(readInstances),
      ])
      if (!log) throw new Error('kairan.log is empty')
      return {
        ...log,
        // A user on two instances counts twice: to count users takes longer, and this is read all the time.
        users: instances.reduce((sum, { facts }) => sum + (facts.users ?? 0), 0),
        instances: instances.map(({ facts: { streams, delivered, latency }, ...instance }) => ({
          ...instance,
          facts: {
            ...(streams !== undefined && { streams }),
            ...(delivered !== undefined && { delivered }),
            ...(latency && { latency }),
          },
        })),
      }
    },
    async streams({ user, channel, before, limit }) {
      const [openedAt = '', id = ''] = before?.split('_') ?? []
      const rows = await ask(
        sql => sql<(StreamRow & { position: string })[]>`
          select s.id, s.user_id as "userId", s.channels, s.address, ${iso(sql, 's.opened_at')} as "openedAt",
            s.instance_id as "instanceId", extract(epoch from s.opened_at)::text || '_' || s.id as position
          from kairan.streams s join kairan.instances i on i.id = s.instance_id
          where i.seen_at > now() - interval '10 seconds'
            ${user === null ? sql`` : sql`and s.user_id = ${user}`}
            ${channel === null ? sql`` : sql`and s.channels @> to_jsonb(array[${channel}::text])`}
            ${before === null ? sql`` : sql`and (s.opened_at, s.id) < (to_timestamp(${openedAt}::text::float8), ${id}::text::uuid)`}
          order by s.opened_at desc, s.id desc limit ${limit}`,
      )
      return {
        streams: rows.map(({ position: _, ...row }) => row),
        next: rows.length === limit ? (rows.at(-1)?.position ?? null) : null,
      }
    },
    async online(channel, after, limit) {
      const rows = await ask(
        sql => sql<OnlineUser[]>`
          select user_id as "userId", streams, ${iso(sql, 'since')} as since
          from ${channel === null ? sql`kairan.presence` : sql`kairan.presence_of(${channel})`}
          where user_id > ${after} order by user_id limit ${limit}`,
      )
      return {
        users: [...rows],
        next: rows.length === limit ? (rows.at(-1)?.userId ?? null) : null,
      }
    },
    async disconnect(userId, actor) {
      await ask(
        sql => sql`
          with noted as (
            insert into kairan.audit (actor, action, target) values (${actor}, 'disconnect', ${userId})
          )
          select kairan.disconnect(${userId})`,
      )
    },
    async deliveries(filter) {
      const rows = await ask(
        sql => sql<DeliveryRow[]>`
          select ${deliveryColumns(sql)}, n.id as "notificationId", n.type, n.bytes,
            ${iso(sql, 'n.expires_at')} as "expiresAt"
          ${fitting(sql, filter)}
          order by d.seq desc limit ${filter.limit}`,
      )
      const last = rows.at(-1)?.seq ?? null
      if (rows.length === filter.limit) return { deliveries: [...rows], next: last }
      const [end] = await ask(sql => looked(sql, filter))
      return { deliveries: [...rows], next: end ? nextOf(end, filter) : null }
    },
    async notification(id) {
      const [row] = await ask(
        sql => sql<
          {
            type: string | null
            payload: string
            createdAt: string
            sendAt: string | null
            expiresAt: string | null
            isWithdrawn: boolean
            dedupeKey: string | null
          }[]
        >`
          select type, payload::text as payload, ${iso(sql, 'created_at')} as "createdAt",
            ${iso(sql, 'send_at')} as "sendAt", ${iso(sql, "nullif(expires_at, '-infinity')")} as "expiresAt",
            coalesce(expires_at = '-infinity', false) as "isWithdrawn", dedupe_key as "dedupeKey"
          from (
            select type, payload, created_at, null::timestamptz as send_at, expires_at, dedupe_key
            from kairan.notifications where id = ${id}
            union all
            select type, payload, created_at, send_at, expires_at, dedupe_key
            from kairan.scheduled where id = ${id}
          ) n`,
      )
      if (!row) return null
      const deliveries = await ask(
        sql => sql<Omit<DeliveryRow, 'notificationId' | 'type' | 'expiresAt' | 'bytes'>[]>`
          select ${deliveryColumns(sql)} from kairan.deliveries d
          where d.notification_id = ${id} order by d.seq limit 1000`,
      )
      return { id, ...row, deliveries: [...deliveries] }
    },
    async redeliver(id, channel, actor) {
      const [row] = await ask(
        sql => sql<{ n: number }[]>`
          with done as materialized (select kairan.redeliver(${id}, ${channel}) as n),
          noted as (
            insert into kairan.audit (actor, action, target, changed, detail)
            select ${actor}::text, 'redeliver', ${id}::text, n, jsonb_build_object('channel', ${channel}::text)
            from done
          )
          select n from done`,
      )
      return row?.n ?? 0
    },
    async withdraw(id, actor) {
      const [row] = await ask(
        sql => sql<{ done: boolean }[]>`
          with done as materialized (select kairan.withdraw(${id}) as done),
          noted as (
            insert into kairan.audit (actor, action, target)
            select ${actor}::text, 'withdraw', ${id}::text from done where done
          )
          select done from done`,
      )
      return row?.done === true
    },
    async count(filter) {
      const [row] = await ask(
        sql => sql<{ matching: number; looked: number }[]>`
          select count(*) filter (where d.status <> 'pending')::int as matching,
            (select count(*)::int from (${window(sql, filter, rowsCounted)}) looked) as looked
          ${fitting(sql, filter, rowsCounted)}`,
      )
      return { matching: row?.matching ?? 0, isMore: row?.looked === within(filter, rowsCounted) }
    },
    async redeliverSome(filter, actor) {
      const [row] = await ask(
        sql => sql<(Looked & { changed: number; chosen: number; last: string | null })[]>`
          with chosen as (
            select d.notification_id, d.channel, d.seq
            ${fitting(sql, filter)} and d.status <> 'pending'
            order by d.seq desc limit ${filter.limit}
          ), back as materialized (
            -- In the order in which they were sent.
            select kairan.redeliver(c.notification_id, c.channel) as n, c.seq
            from (select * from chosen order by seq) c
          ), noted as (
            insert into kairan.audit (actor, action, changed, detail)
            select ${actor}::text, 'redeliver', sum(n), ${JSON.stringify(filter)}::text::jsonb
            from back having sum(n) > 0
          )
          select coalesce(sum(b.n), 0)::int as changed, count(b.seq)::int as chosen, min(b.seq)::text as last, l.rows, l.lowest
          -- Of this statement's snapshot: afterwards the newest rows are others, of which some were not looked at.
          from (${looked(sql, filter)}) l left join back b on true
          group by l.rows, l.lowest`,
      )
      if (!row) throw new Error('the redelivery gave no answer')
      // Of those that were chosen, retention may have removed some meanwhile.
      const isFull = row.chosen === filter.limit
      return { changed: row.changed, next: isFull ? row.last : nextOf(row, filter) }
    },
    async prune(keepMs, actor) {
      const keep = `${keepMs} milliseconds`
      const [row] = await ask(
        sql => sql<{ changed: number; raised: string | null }[]>`
          with done as materialized (
            select kairan.raise_floor(${keep}::text::interval)::text as raised, (kairan.prune()).removed as changed
          ), noted as (
            insert into kairan.audit (actor, action, changed, detail)
            select ${actor}::text, 'prune', changed, jsonb_build_object('floor', raised)
            from done where changed > 0 or raised is not null
          )
          select raised, changed from done`,
      )
      const changed = row?.changed ?? 0
      return { changed, next: changed > 0 || row?.raised ? (row?.raised ?? 'more') : null }
    },
    async audit({ before, limit }) {
      const entries = await ask(
        sql => sql<AuditEntry[]>`
          select id::text, ${iso(sql, 'at')} as at, actor, action, target, changed, detail::text as detail
          from kairan.audit
          where true ${before === null ? sql`` : sql`and id < ${before}::text::bigint`}
          order by audit.id desc limit ${limit}`,
      )
      const next = entries.length === limit ? (entries.at(-1)?.id ?? null) : null
      return { entries: [...entries], next }
    },
    async system() {
      const [[facts], migrations, tables] = await Promise.all([
        ask(readSystem),
        ask(
          sql => sql<{ version: number; name: string; appliedAt: string }[]>`
            select version, name, ${iso(sql, 'applied_at')} as "appliedAt"
            from kairan.migrations order by version`,
        ),
        ask(
          sql => sql<{ name: string; bytes: number; rows: number | null }[]>`
            select c.relname as name, pg_total_relation_size(c.oid)::float8 as bytes,
              nullif(c.reltuples, -1)::float8 as rows
            from pg_class c where c.relnamespace = 'kairan'::regnamespace and c.relkind = 'r'
            order by bytes desc`,
        ),
      ])
      if (!facts) throw new Error('kairan.log is empty')
      return { ...facts, migrations: [...migrations], tables: [...tables] }
    },
    async explain(notificationId, userId) {
      const [[notification], deliveries, [streams], [scheduled], mutes] = await Promise.all([
        ask(
          sql => sql<{ expiresAt: string | null; isExpired: boolean; isWithdrawn: boolean }[]>`
            select ${iso(sql, 'expires_at')} as "expiresAt", coalesce(expires_at <= now(), false) as "isExpired",
              coalesce(expires_at = '-infinity', false) as "isWithdrawn"
            from kairan.notifications where id = ${notificationId}`,
        ),
        ask(
          sql => sql<DeliveryRow[]>`
            select ${deliveryColumns(sql)} from kairan.deliveries d
            where d.notification_id = ${notificationId} order by d.seq limit 1000`,
        ),
        ask(
          sql => sql<{ streams: number }[]>`
            select coalesce(sum(streams), 0)::int as streams from kairan.presence where user_id = ${userId}`,
        ),
        ask(
          sql => sql<{ sendAt: string; isOverdue: boolean; error: string | null }[]>`
            select ${iso(sql, 'send_at')} as "sendAt", send_at < ${overdueSince(sql)} as "isOverdue", error
            from kairan.scheduled where id = ${notificationId}`,
        ),
        ask(
          sql => sql<DeliveryFacts['mutes']>`
            select m.type, m.channel, ${iso(sql, 'm.since')} as since, ${iso(sql, 'm.until')} as until
            from kairan.mutes m join kairan.notifications n on n.id = ${notificationId}
            where m.user_id = ${userId} and (m.until is null or m.until > now())
              and kairan.covers(m, n.channels, n.type)
            order by m.since limit 200`,
        ),
      ])
      return {
        isPublished: notification !== undefined,
        expiresAt: notification?.expiresAt ?? null,
        isExpired: notification?.isExpired ?? false,
        isWithdrawn: notification?.isWithdrawn ?? false,
        sendAt: scheduled?.sendAt ?? null,
        isOverdue: scheduled?.isOverdue ?? false,
        sendError: scheduled?.error ?? null,
        mutes: [...mutes],
        deliveries: [...deliveries],
        streams: streams?.streams ?? 0,
      }
    },
  }
}

/** A time as ISO 8601 in UTC. `column` is part of this program, never of a request. */
const iso = (sql: Sql, column: string) => sql.unsafe(`kairan.iso(${column})`)

const deliveryColumns = (sql: Sql) => sql`
  d.seq::text, d.channel, d.status, d.error, d.recipients, ${iso(sql, 'd.created_at')} as "createdAt",
  ${iso(sql, 'd.delivered_at')} as "deliveredAt"`

/** What kairan.deliveries shows of those that have a position. */
const numberedColumns = (sql: Sql) => sql`
  seq, notification_id, channel, error, recipients, created_at, delivered_at,
  case status when 'p' then 'pending' when 'f' then 'failed' else 'delivered' end as status`

/** How many of the newest rows are looked at. */
const within = ({ payload }: DeliveryFilter, rows: number) =>
  payload === null ? rows : Math.min(rows, payloadsLookedAt)

/** The newest rows of the log, at most `rows`. */
const window = (sql: Sql, filter: DeliveryFilter, rows: number) =>
  windowOf(sql, filter, within(filter, rows))

const windowOf = (sql: Sql, { channel, before }: DeliveryFilter, rows: number) => sql`
  select ${numberedColumns(sql)} from kairan.numbered
  where true
    ${channel === null ? sql`` : sql`and channel = ${channel}`}
    ${before === null ? sql`` : sql`and seq < ${before}::text::bigint`}
  order by seq desc limit ${rows}`

/** Those of them that match the filter. */
const fitting = (sql: Sql, filter: DeliveryFilter, rows = rowsLookedAt) => sql`
  from (${window(sql, filter, rows)}) d join kairan.notifications n on n.id = d.notification_id
  where true
    ${filter.type === null ? sql`` : sql`and n.type = ${filter.type}`}
    ${filter.status === null ? sql`` : sql`and d.status = ${filter.status}`}
    ${filter.since === null ? sql`` : sql`and d.created_at >= ${filter.since}::text::timestamptz`}
    ${filter.until === null ? sql`` : sql`and d.created_at <= ${filter.until}::text::timestamptz`}
    ${filter.payload === null ? sql`` : holding(sql, filter.payload)}`

/** Whose payload contains this object, or has this text in its JSON, in whatever case. */
const holding = (sql: Sql, searched: string) => {
  const object = parseObject(searched)
  if (object === null) {
    return sql`and position(lower(${searched}::text) in lower(n.payload::text)) > 0`
  }
  const json = JSON.stringify(object)
  // In Postgres no text has these.
  return /\\u(0000|d[89a-f])/i.test(json)
    ? sql`and false`
    : sql`and n.payload @> ${json}::text::jsonb`
}

type Looked = { rows: number; lowest: string | null }

/** How many rows are looked at for a page, and down to which. */
const looked = (sql: Sql, filter: DeliveryFilter) => sql<Looked[]>`
  select count(*)::int as rows, min(seq)::text as lowest from (${window(sql, filter, rowsLookedAt)}) looked`

/** Where the next page begins when the rows that were read did not fill this one; null at the end. */
const nextOf = ({ rows, lowest }: Looked, filter: DeliveryFilter) =>
  rows === within(filter, rowsLookedAt) ? lowest : null

type State = Omit<Awaited<ReturnType<AdminStore['overview']>>, 'instances'>

/** Whoever reads `kairan.unnumbered` gets all of it first, which takes seconds where millions wait. */
const rowsUnnumbered = 10_000

/** Up to so many of the notifications that have no position yet, without those of transactions that began long ago. */
const backlogOf = (sql: Sql) => sql`
  select count(*)::int
  from (
    select from (select * from kairan.batches order by n desc limit 1) b
    cross join lateral (
      select from kairan.notifications n
      where n.place > greatest(b.done_place, b.reached) and n.xid >= pg_snapshot_xmax(b.done)
      order by n.place limit ${rowsUnnumbered}
    ) n
  ) waiting`

const readState = (sql: Sql) => sql<State[]>`
  select ${iso(sql, 'now()')} as now, l.head, l.floor, pg_notification_queue_usage() as "queueUsage",
    (select count(*)::int from kairan.presence) as users,
    case
      when (${backlogOf(sql)}) = ${rowsUnnumbered} then ${rowsUnnumbered}
      else (select count(*)::int from (select from kairan.unnumbered() limit ${rowsUnnumbered}) d)
    end as unnumbered,
    (
      select count(*)::int
      from (select status from kairan.numbered order by seq desc limit 10000) d
      where d.status = 'p'
    ) as pending
  from kairan.log l`

const readInstances = (sql: Sql) => sql<Instance[]>`
  select id, ${iso(sql, 'started_at')} as "startedAt",
    round(extract(epoch from now() - seen_at) * 1000)::float8 as "silentMs", facts
  from kairan.instances order by started_at, id limit 1000`

const readSystem = (sql: Sql) => sql<
  {
    postgres: string
    epoch: string
    head: number
    floor: number
    oldestAt: string | null
    oldestTransactionSeconds: number
    queueUsage: number
  }[]
>`
  select current_setting('server_version') as postgres, l.epoch, l.head, l.floor,
    pg_notification_queue_usage() as "queueUsage",
    (
      select ${iso(sql, 'created_at')} from kairan.numbered where seq > l.floor order by seq limit 1
    ) as "oldestAt",
    coalesce((
      select extract(epoch from max(now() - xact_start))::float8 from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()
    ), 0) as "oldestTransactionSeconds"
  from kairan.log l`
