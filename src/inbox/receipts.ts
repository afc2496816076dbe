import type { Reader } from './inbox.ts'

/**
 * What a stream took before it ended: the events of these channels above `since` and up to `seq`, without those that it
 * skipped, since the user had muted them, and the deliveries that were pending before. The cursor with which its client
 * reconnects says how much of it has arrived.
 */
export type Taken = {
  userId: string
  channels: readonly string[]
  /** By channel, from which seq to which one. */
  skipped: Readonly<Record<string, readonly (readonly [from: number, to: number])[]>>
  pending: readonly number[]
  since: number
  seq: number
}

/** Records what proves that clients have received something. Nothing waits for it. */
export type Receipts = {
  /** A stream has ended. */
  ended(taken: Taken): void
  /** A client has reconnected: it has received everything up to this seq. */
  returned(userId: string, seq: number): void
  /** A client says that it has these notifications. Throws `unavailable`. */
  confirm(reader: Reader, ids: string[]): Promise<void>
}
