import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createWorkLoop } from '../lib/work-loop.ts'
import type { Event, Frame } from '../log/event.ts'
import type { Queued } from './queue.ts'
import type { StatusStore } from './statuses-store.ts'

export type Statuses = {
  /** A connection took these: the events in them are delivered. */
  taken(queued: Queued[]): void
  /** These deliveries can't be sent any more. */
  failed(seqs: number[], reason: string): void
  /** Gives up what waits: the log became another one, in which these positions are of other deliveries. */
  forget(): void
  /** Writes what is waiting and schedules nothing more. Resolves when it is written, or has failed once more. */
  stop(): Promise<void>
  /** How many rows wait, and how many were given up since the start. */
  count(): { waiting: number; dropped: number }
}

/**
 * Writes status rows in batches, `delayMs` after the first of them. A batch that fails is kept and
 * tried again after `retryMs`, and the log says how many rows wait and how many were given up: it never
 * stops delivery. A batch whose answer was lost is written twice, so `recipients` may then be too high.
 */
export const createStatuses = (options: {
  store: StatusStore
  delayMs: number
  retryMs: number
  report: Report
  /** Called with an event when a connection takes it, unless another took it since the last batch. */
  onTaken(event: Event): void
  /** Called with how many events connections took, each counted once for each connection. */
  onDelivered(recipients: number): void
}): Statuses => {
  const { store } = options
  const batches = [store.delivered, store.deliveredLive, store.failed]
  let taken: Frame[] = []

  const write = async () => {
    collect()
    let left = 0
    const errors: unknown[] = []
    // One batch that can't be written must not hold up the others.
    for (const batch of batches) {
      try {
        left += await batch.write()
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[0]
    return left
  }

  const collect = () => {
    let total = 0
    for (const frame of taken) {
      const { event, recipients } = frame
      frame.recipients = 0
      total += recipients
      if (event.seq !== null) store.delivered.add({ seq: event.seq, recipients })
      else if (event.id !== null) {
        const { id: notificationId, channel } = event
        store.deliveredLive.add({ notificationId, channel, recipients })
      }
    }
    taken = []
    options.onDelivered(total)
  }

  const count = () => ({
    waiting: batches.reduce((sum, batch) => sum + batch.counts.waiting, taken.length),
    dropped: batches.reduce((sum, batch) => sum + batch.counts.dropped, 0),
  })

  const loop = createWorkLoop({
    work: write,
    failed(error) {
      const facts = { error: messageOf(error), ...count() }
      options.report.warn(facts, 'Statuses could not be written: trying again.')
    },
    delayMs: options.delayMs,
    retryMs: options.retryMs,
  })

  return {
    taken(queued) {
      for (const item of queued) {
        if (item instanceof Uint8Array || item.recipients++ > 0) continue
        taken.push(item)
        options.onTaken(item.event)
        loop.schedule()
      }
    },
    failed(seqs, error) {
      for (const seq of seqs) store.failed.add({ seq, error })
      loop.schedule()
    },
    forget() {
      for (const frame of taken) frame.recipients = 0
      taken = []
      for (const batch of batches) batch.clear()
    },
    async stop() {
      await loop.stop()
      await loop.flush()
    },
    count,
  }
}
