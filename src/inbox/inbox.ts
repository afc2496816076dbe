import { channelOf, everyone, readableChannels } from '../auth/channels.ts'
import type { LevelOf } from '../auth/roles.ts'
import { KairanError } from '../lib/errors.ts'
import type { Cursor } from '../log/cursor.ts'

/** Which page of the inbox is asked for. */
export type InboxQuery = {
  limit: number
  /** Where the page before ended; null for the newest. */
  before: Cursor | null
  /** Only of these types; null for all. */
  types: string[] | null
  unreadOnly: boolean
}

/** What is to be marked: these notifications, all up to a cursor, or all. */
export type InboxChange = { ids: string[]; read: boolean } | { upTo: Cursor } | { all: true }

/** Whose inbox it is, and which channels that user may read now. */
export type Reader = { userId: string; channels: readonly string[] }

/**
 * How many are unread, and of when that is: clients learn it from answers and from streams, in any order,
 * and events add to it.
 */
export type Count = {
  unread: number
  /** There may be more. */
  unreadIsLeast?: true
  /** When the first of them expires. */
  unreadUntil?: string
  /** Where the log ended when it was counted: a stream from here has what was not. */
  head: Cursor
  /** Higher after each change of what is read; absent before the first. */
  revision?: number
  /** The database's clock when it was counted. */
  time: string
}

export type InboxPage = Count & {
  /** The notifications, newest first, each as its JSON. */
  items: string[]
  /** Where the next page begins, if there is one. */
  next: Cursor | null
}

export type Inbox = {
  /** Reads a page. Throws `bad_cursor` when it begins in another log, or `unavailable`. */
  page(reader: Reader, query: InboxQuery): Promise<InboxPage>
  /** Marks, and tells the user's streams. Throws `bad_cursor` for one of another log, or `unavailable`. */
  mark(reader: Reader, change: InboxChange): Promise<Count>
}

/** Finds what a user may read now, by the role level of now. Throws `unavailable`. */
export const createReaderOf =
  (options: { levelOf: LevelOf; adminRoleLevel: number }) =>
  async (userId: string): Promise<Reader> => {
    try {
      const level = await options.levelOf(userId)
      return { userId, channels: readableChannels(userId, level, options.adminRoleLevel) }
    } catch (cause) {
      throw new KairanError(
        'unavailable',
        'Role levels can not be looked up now. Try again soon.',
        {
          retryAfter: 2,
          cause,
        },
      )
    }
  }

/** Runs `work` for what a user may read. Throws `unavailable`, and what the work throws. */
export type AsReader = <T>(userId: string, work: (reader: Reader) => Promise<T>) => Promise<T>

/** How often a user can lose a channel while one answer is made. */
const mostAttempts = 3

/**
 * Runs work for the channels that a user may read, and again when the user has lost one of them by the time the
 * work has ended: it may have read what was published there after the loss.
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
