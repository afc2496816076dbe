import { channelOf, everyone, readableChannels } from '../auth/channels.ts'
import type { LevelOf } from '../auth/roles.ts'
import { KairanError } from '../lib/errors.ts'
import type { Cursor } from '../log/cursor.ts'

/** Selects a page of the inbox. */
export type InboxQuery = {
  limit: number
  /** The `next` of the page before; null for the newest. */
  before: Cursor | null
  /** Only of these types; null for all. */
  types: string[] | null
  unreadOnly: boolean
}

/** The notifications to mark: these, all up to a cursor, or all. */
export type InboxChange = { ids: string[]; read: boolean } | { upTo: Cursor } | { all: true }

/** The owner of an inbox, and the channels that this user may read now. */
export type Reader = { userId: string; channels: readonly string[] }

/**
 * A count of unread notifications, and when it was counted. Clients receive counts in answers and on streams in any
 * order, and add later events to the newest one.
 */
export type Count = {
  unread: number
  /** Present when there may be more. */
  unreadIsLeast?: true
  /** When the first of them expires. */
  unreadUntil?: string
  /** The end of the log when it was counted. A stream from here carries what was not counted. */
  head: Cursor
  /** Grows with each change of what is read; absent before the first. */
  revision?: number
  /** The database's clock when it was counted. */
  time: string
}

export type InboxPage = Count & {
  /** The notifications, newest first, each as its JSON. */
  items: string[]
  /** Where the next page begins; null at the end. */
  next: Cursor | null
}

export type Inbox = {
  /** Reads a page. Throws `bad_cursor` for a cursor of another log, and `unavailable`. */
  page(reader: Reader, query: InboxQuery): Promise<InboxPage>
  /** Marks notifications, and tells the user's streams. Throws `bad_cursor` for a cursor of another log, and `unavailable`. */
  mark(reader: Reader, change: InboxChange): Promise<Count>
}

/** Looks up the channels that a user may read now. Throws `unavailable`. */
export const createReaderOf =
  (options: { levelOf: LevelOf; adminRoleLevel: number }) =>
  async (userId: string): Promise<Reader> => {
    try {
      const level = await options.levelOf(userId)
      return { userId, channels: readableChannels(userId, level, options.adminRoleLevel) }
    } catch (cause) {
      throw new KairanError('unavailable', 'Role levels cannot be looked up now. Try again soon.', {
        retryAfter: 2,
        cause,
      })
    }
  }

/** Runs `work` with the channels that a user may read. Throws `unavailable`, and the error that the work throws. */
export type AsReader = <T>(userId: string, work: (reader: Reader) => Promise<T>) => Promise<T>

/** How often the work is repeated because the user lost a channel meanwhile. */
const mostAttempts = 3

/**
 * Runs work with the channels that a user may read. If the user has lost one of them when the work ends, the work is
 * repeated: it may have read what was published there after the loss.
 */
export const createAsReader =
  (readerOf: (userId: string) => Promise<Reader>): AsReader =>
  async (userId, work) => {
    for (let attempt = 1; attempt <= mostAttempts; attempt++) {
      const reader = await readerOf(userId)
      const result = await work(reader)
      if (reader.channels.every(channel => isOwn(channel, userId))) return result
      const now = await readerOf(userId)
      if (reader.channels.every(channel => now.channels.includes(channel))) return result
    }
    throw new KairanError('unavailable', 'Your channels change too fast. Try again soon.', {
      retryAfter: 2,
    })
  }

/** Whether a user can't lose a channel. */
const isOwn = (channel: string, userId: string) =>
  channel === everyone || channel === channelOf(userId)
