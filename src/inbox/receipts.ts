import type { Reader } from './inbox.ts'

/**
 * What a stream took until it ended: all of these channels above `since` and up to `seq`, and before it what
 * was pending. The cursor with which its client returns says how much of it has arrived.
 */
export type Taken = {
  userId: string
  channels: readonly string[]
  pending: readonly number[]
  since: number
  seq: number
}

/** Records what proves that clients have received something. Nothing waits for it. */
export type Receipts = {
  /** A stream has ended that took this. */
  ended(taken: Taken): void
  /** A client has returned: it has all that its stream brought up to this seq. */
  returned(userId: string, seq: number): void
  /** A client says that it has these notifications. Throws `unavailable`. */
  confirm(reader: Reader, ids: string[]): Promise<void>
}
