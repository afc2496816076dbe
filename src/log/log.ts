import type { Event } from './event.ts'

/** A piece of the log: its events in order, and the seq up to which it is complete. */
export type Page = {
  events: Event[]
  end: number
  /** Everything up to this seq may have been removed when the page was read. */
  floor: number
}

/** What a stream that returns may ask of the log in the database. */
export type Log = {
  /** What these channels got after a seq and up to `upTo`, up to about `maxBytes` of payloads. */
  page(channels: readonly string[], after: number, upTo: number, maxBytes: number): Promise<Page>
  /** Whether anything may be pending on a channel. */
  hasPending(channel: string): Promise<boolean>
  /** The same as `page` of what is still pending on one channel. */
  pendingPage(channel: string, after: number, upTo: number, maxBytes: number): Promise<Page>
  /** The log's bounds, and how many events these channels got after a seq, counted up to `limit`. */
  survey(channels: readonly string[], after: number, limit: number): Promise<Survey>
}

export type Survey = { epoch: string; head: number; floor: number; missed: number }
