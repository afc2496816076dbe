import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import type { Event, Frame } from '../log/event.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import type { Queued } from './subscription.ts'

export type Statuses = {
  /** A stream has taken this: the events in it are delivered. */
  handed(taken: Queued[]): void
  /** These deliveries can't be sent any more. */
  failed(seqs: number[], reason: string): void
  /** A live event that names a stored delivery can't be sent. */
  failedLive(notificationId: string, channel: string, reason: string): void
  /** Writes what is waiting. Resolves when it is written, or has failed once more. */
  flush(): Promise<void>
  /** How many rows wait, and how many were given up since the start. */
  count(): { waiting: number; dropped: number }
}

/** So many rows go into one statement. */
const rowsAtOnce = 5000
/** At most so many rows of each kind wait while the database is away; the oldest are given up. */
const maxWaiting = 100_000

/**
 * Writes status rows in batches, `delayMs` after the first of them. A batch that fails is kept and
 * tried again after `retryMs`, and the log says how many rows wait and how many were given up: it never
 * stops delivery. One whose answer was lost is written twice,
 * so `recipients` may then be too high.
 */
export const createStatuses = (options: {
  database: Database
  delayMs: number
  retryMs: number
  report: Report
  /** Hears of each event when a stream takes it, and none has since the last batch. */
  onTaken(event: Event): void
  /** Hears how many events streams took, each counted once for each stream. */
  onDelivered(handovers: number): void
}): Statuses => {
  const { database, report } = options
  const delivered = createBatch(markDelivered)
  const deliveredLive = createBatch(markDeliveredLive)
  const failed = createBatch(markFailed)
  const failedLive = createBatch(markFailedLive)
  const batches = [delivered, deliveredLive, failed, failedLive]
  let taken: Frame[] = []
  let timer: ReturnType<typeof setTimeout> | null = null
  let writing: Promise<void> = Promise.resolve()
  let waiting: Promise<void> | null = null

  const schedule = (ms = options.delayMs) => {
    timer ??= setTimeout(() => void flush(), ms)
  }

  /** One that writes, and one that waits for it: whoever comes meanwhile waits for the same. */
  const flush = () => {
    if (timer) clearTimeout(timer)
    timer = null
    waiting ??= writing.then(() => {
      waiting = null
      writing = write()
      return writing
    })
    return waiting
  }

  const write = async () => {
    collect()
    for (const batch of batches) {
      try {
        if ((await batch.write(database)) > 0) schedule(options.retryMs)
      } catch (error) {
        const facts = { error: messageOf(error), ...count() }
        report.warn(facts, 'Statuses could not be written: trying again.')
        schedule(options.retryMs)
      }
    }
  }

  const collect = () => {
    let handovers = 0
    for (const frame of taken) {
      const { event, recipients } = frame
      frame.recipients = 0
      handovers += recipients
      if (event.seq !== null) delivered.add({ seq: event.seq, recipients })
      else if (event.id !== null) {
        deliveredLive.add({ notificationId: event.id, channel: event.channel, recipients })
      }
    }
    taken = []
    options.onDelivered(handovers)
  }

  const count = () => ({
    waiting: batches.reduce((sum, batch) => sum + batch.counts.waiting, taken.length),
    dropped: batches.reduce((sum, batch) => sum + batch.counts.dropped, 0),
  })

  return {
    handed(queued) {
      for (const item of queued) {
        if (item instanceof Uint8Array || item.recipients++ > 0) continue
        taken.push(item)
        options.onTaken(item.event)
        schedule()
      }
    },
    failed(seqs, error) {
      for (const seq of seqs) failed.add({ seq, error })
      schedule()
    },
    failedLive(notificationId, channel, error) {
      failedLive.add({ notificationId, channel, error })
      schedule()
    },
    flush,
    count,
  }
}

/** Rows that are written together, and stay until they are. */
export const createBatch = <Row>(save: Save<Row>) => {
  let rows: Row[] = []
  const counts = { waiting: 0, dropped: 0 }

  const limit = () => {
    const excess = rows.length - maxWaiting
    if (excess > 0) {
      rows = rows.slice(excess)
      counts.dropped += excess
    }
    counts.waiting = rows.length
  }

  return {
    counts,
    add(row: Row) {
      rows.push(row)
      counts.waiting++
      if (rows.length > 2 * maxWaiting) limit()
    },
    /** Resolves with how many rows could not be written now, and are kept. */
    async write(database: Database) {
      const kept: Row[] = []
      try {
        for (let left = rows.length; left > 0; ) {
          const some = rows.slice(0, Math.min(left, rowsAtOnce))
          kept.push(...(await database.run(sql => save(sql, some))))
          rows = rows.slice(some.length)
          left -= some.length
        }
      } finally {
        rows = kept.concat(rows)
        limit()
      }
      return kept.length
    },
  }
}

/** Writes rows, and resolves with those that have to wait. */
export type Save<Row> = (sql: Sql, rows: Row[]) => PromiseLike<Row[]>

type Delivered = { seq: number; recipients: number }
type DeliveredLive = { notificationId: string; channel: string; recipients: number }
type Failed = { seq: number; error: string }
type FailedLive = { notificationId: string; channel: string; error: string }

/**
 * A row that somebody else has locked is left for later: one transaction that stays open must not stop the
 * statuses of everybody. So no two instances can wait for each other either.
 */
const markDelivered: Save<Delivered> = async (sql, rows) => {
  const written = await sql<{ seq: number }[]>`
    with free as (
      select d.seq, h.recipients
      from (
        select seq, sum(recipients) as recipients
        from jsonb_to_recordset(${sql.json(rows)}) as h (seq bigint, recipients int)
        group by seq
      ) h
      join kairan.deliveries d on d.seq = h.seq
      where d.status <> 'failed'
      for update of d skip locked
    )
    update kairan.deliveries d
    set status = 'delivered',
      recipients = d.recipients + f.recipients,
      delivered_at = coalesce(d.delivered_at, now())
    from free f where d.seq = f.seq
    returning d.seq`
  const done = new Set(written.map(({ seq }) => seq))
  const left = rows.filter(({ seq }) => !done.has(seq))
  if (left.length === 0) return left
  // Those that have been removed, or have failed, need not wait.
  const locked = await sql<{ seq: number }[]>`
    select d.seq
    from jsonb_array_elements_text(${sql.json(left.map(({ seq }) => seq))}) h
    join kairan.deliveries d on d.seq = h::bigint
    where d.status <> 'failed'`
  const later = new Set(locked.map(({ seq }) => seq))
  return left.filter(({ seq }) => later.has(seq))
}

const markDeliveredLive: Save<DeliveredLive> = (sql, rows) => sql<[]>`
  update kairan.deliveries d
  set status = 'delivered',
    recipients = d.recipients + h.recipients,
    delivered_at = coalesce(d.delivered_at, now())
  from (
    select "notificationId", channel, sum(recipients) as recipients
    from jsonb_to_recordset(${sql.json(rows)})
      as h ("notificationId" uuid, channel text, recipients int)
    group by 1, 2
  ) h
  where d.notification_id = h."notificationId" and d.channel = h.channel and d.status <> 'failed'`

const markFailed: Save<Failed> = (sql, rows) => sql<[]>`
  update kairan.deliveries d set status = 'failed', error = f.error
  from jsonb_to_recordset(${sql.json(rows)}) as f (seq bigint, error text)
  where d.seq = f.seq and d.status = 'pending'`

const markFailedLive: Save<FailedLive> = (sql, rows) => sql<[]>`
  update kairan.deliveries d set status = 'failed', error = f.error
  from jsonb_to_recordset(${sql.json(rows)}) as f ("notificationId" uuid, channel text, error text)
  where d.notification_id = f."notificationId" and d.channel = f.channel and d.status = 'pending'`
