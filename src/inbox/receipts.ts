import type { Reader } from './inbox.ts'

/**
 * What a stream that has ended was handed: all of these channels above `since` and up to `seq`, and before
 * it what was pending. How much of it has arrived, the cursor says with which its client returns.
 */
export type Handover = {
  userId: string
  channels: readonly string[]
  pending: readonly number[]
  since: number
  seq: number
}

/** Takes down what proves that clients have received something. Loses little, and waits for nothing. */
export type Receipts = {
  /** A stream has ended. */
  ended(handover: Handover): void
  /** A client has returned: it has all that its stream brought up to this seq. */
  returned(userId: string, seq: number): void
  /** A client says that it has these notifications. Throws `unavailable`. */
  confirm(reader: Reader, ids: string[]): Promise<void>
}
