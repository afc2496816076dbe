import { readableChannels } from '../auth/channels.ts'
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
