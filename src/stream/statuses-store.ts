import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import type { Withdrawal } from '../log/withdrawal.ts'
import { type Batch, createBatch, type Save } from '../postgres/batch.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import { textArray } from '../postgres/text-array.ts'

type Delivered = { seq: number; recipients: number }
type DeliveredLive = { notificationId: string; channel: string; recipients: number }
type Failed = { seq: number; error: string }

/** What waits to be written of the statuses of deliveries. */
export type StatusStore = {
  delivered: Batch<Delivered>
  deliveredLive: Batch<DeliveredLive>
  failed: Batch<Failed>
}

/** Writes statuses to `kairan.numbered`, in batches. No index has what they change. */
export const createStatusStore = (database: Database): StatusStore => ({
  delivered: createBatch(database, markDelivered),
  deliveredLive: createBatch(database, markDeliveredLive),
  failed: createBatch(database, markFailed),
})

/**
 * A row that somebody else has locked is left for later: one transaction that stays open must not stop the
 * statuses of everybody. So no two instances wait for each other either.
 */
const markDelivered: Save<Delivered> = async (sql, rows) => {
  const recipients = new Map<number, number>()
  for (const row of rows) {
    recipients.set(row.seq, (recipients.get(row.seq) ?? 0) + row.recipients)
  }
  const wanted = recipients.size
  const left = () => rows.filter(({ seq }) => recipients.has(seq))
  try {
    // Usually the first one marks all.
    for (const mark of [markUntouched, markUnlocked]) {
      const [marked] = await mark(sql, recipients)
      if (marked?.count === recipients.size) return []
      const seqs: number[] = JSON.parse(marked?.seqs ?? '[]')
      for (const seq of seqs) recipients.delete(seq)
    }
    // Those that have been removed, or have failed, need not wait.
    const locked = await sql<{ seq: number }[]>`
      select d.seq
      from jsonb_array_elements_text(${sql.json([...recipients.keys()])}) h
      join kairan.numbered d on d.seq = h::bigint
      where d.status <> 'f'`
    const later = new Set(locked.map(({ seq }) => seq))
    return left().filter(({ seq }) => later.has(seq))
  } catch (error) {
    // What is marked must not be marked again: its recipients would count twice. The rest fails by itself the next time.
    if (recipients.size === wanted) throw error
    return left()
  }
}

/** What the column holds. Any login can send on the live path, and so make a delivery count as often as it likes. */
const mostRecipients = 2_147_483_647

/** How many were marked; which ones, if not all. */
type Marked = { count: number; seqs: string | null }[]

/**
 * Marks rows that nobody has ever locked or changed: their xmax is 0. To lock them first, as `markUnlocked` does, takes
 * half as much CPU again and a WAL record of 54 bytes for each. A row is checked right before it is updated; if somebody
 * locks it in the microsecond between, this waits, at most for the deadline, and next time finds it locked.
 */
const markUntouched = (sql: Sql, recipients: Map<number, number>) => sql<Marked>`
  with done as (
    update kairan.numbered d
    set status = 'd',
      recipients = least(d.recipients::bigint + h.recipients, ${mostRecipients}),
      delivered_at = coalesce(d.delivered_at, now())
    from unnest(
      ${arrayOf(recipients.keys())}::text::bigint[], ${arrayOf(recipients.values())}::text::bigint[]
    ) as h (seq, recipients)
    where d.seq = h.seq and d.status <> 'f' and d.xmax = 0
    returning d.seq
  )
  select count(*), case when count(*) < ${recipients.size}::int then json_agg(seq)::text end as seqs
  from done`

/**
 * Marks rows that nobody has locked now. The update finds them by their place in the table, without the index. A row
 * that another transaction has changed since the statement began is then not found: it is left for later, too.
 */
const markUnlocked = (sql: Sql, recipients: Map<number, number>) => sql<Marked>`
  with free as (
    select d.ctid as at, h.recipients
    from unnest(
      ${arrayOf(recipients.keys())}::text::bigint[], ${arrayOf(recipients.values())}::text::bigint[]
    ) as h (seq, recipients)
    join kairan.numbered d on d.seq = h.seq
    where d.status <> 'f'
    for update of d skip locked
  ),
  done as (
    update kairan.numbered d
    set status = 'd',
      recipients = least(d.recipients::bigint + f.recipients, ${mostRecipients}),
      delivered_at = coalesce(d.delivered_at, now())
    from free f where d.ctid = f.at
    returning d.seq
  )
  select count(*), case when count(*) < ${recipients.size}::int then json_agg(seq)::text end as seqs
  from done`

/** Numbers as the text of an array: the driver has no array parameters, and JSON takes three times as long to read. */
const arrayOf = (numbers: Iterable<number>) => `{${[...numbers].join(',')}}`

/** Anybody can send on the live path: what is pending stays so for a user who connects without a cursor. */
const markDeliveredLive: Save<DeliveredLive> = async (sql, rows) => {
  const written = await sql<{ key: string }[]>`
    with free as (
      select d.seq, h.recipients
      from (
        select "notificationId", channel, sum(recipients) as recipients
        from jsonb_to_recordset(${sql.json(rows)})
          as h ("notificationId" uuid, channel text, recipients int)
        group by 1, 2
      ) h
      join kairan.numbered d on d.notification_id = h."notificationId" and d.channel = h.channel
      where d.status <> 'f'
      for update of d skip locked
    )
    update kairan.numbered d
    set status = case d.status when 'p' then 'l' else d.status end,
      recipients = least(d.recipients::bigint + f.recipients, ${mostRecipients}),
      delivered_at = coalesce(d.delivered_at, now())
    from free f where d.seq = f.seq
    returning d.notification_id || ' ' || d.channel as key`
  const done = new Set(written.map(({ key }) => key))
  const left = rows.filter(row => !done.has(keyOf(row)))
  if (left.length === 0) return left
  const locked = await sql<{ key: string }[]>`
    select d.notification_id || ' ' || d.channel as key
    from jsonb_to_recordset(${sql.json(left)}) as h ("notificationId" uuid, channel text)
    join kairan.numbered d on d.notification_id = h."notificationId" and d.channel = h.channel
    where d.status <> 'f'`
  const later = new Set(locked.map(({ key }) => key))
  return left.filter(row => later.has(keyOf(row)))
}

const keyOf = ({ notificationId, channel }: DeliveredLive) =>
  `${notificationId.toLowerCase()} ${channel}`

const markFailed: Save<Failed> = async (sql, rows) => {
  const seqs = sql.json(rows.map(({ seq }) => seq))
  await sql`
    update kairan.numbered d
    set status = 'f', error = case when free.is_withdrawn then 'withdrawn' else free.error end
    from (
      select d.seq, f.error, n.expires_at = '-infinity' as is_withdrawn
      from jsonb_to_recordset(${sql.json(rows)}) as f (seq bigint, error text)
      join kairan.numbered d on d.seq = f.seq
      join kairan.notifications n on n.id = d.notification_id
      where d.status = 'p'
      for update of d skip locked
    ) free
    where d.seq = free.seq`
  const locked = await sql<{ seq: number }[]>`
    select d.seq
    from jsonb_array_elements_text(${seqs}) f join kairan.numbered d on d.seq = f::bigint
    where d.status = 'p'`
  const later = new Set(locked.map(({ seq }) => seq))
  return rows.filter(({ seq }) => later.has(seq))
}

/** Marks what was numbered while it was withdrawn. Nothing waits for it: if it fails, retention does it later. */
export const failWithdrawn = (database: Database, withdrawn: Withdrawal[], report: Report) => {
  const ids = withdrawn.map(({ id }) => id)
  database
    .run(
      sql => sql`
        select kairan.fail_withdrawn(${textArray(sql, ids)}::uuid[])`,
    )
    .catch(error =>
      report.warn({ error: messageOf(error) }, 'Withdrawn deliveries could not be marked yet.'),
    )
}
