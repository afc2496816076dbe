import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import type { Event, Frame } from '../log/event.ts'
import { createBatch } from '../postgres/batch.ts'
import type { Database } from '../postgres/database.ts'
import { markDelivered, markDeliveredLive, markFailed, markFailedLive } from './statuses-store.ts'
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
