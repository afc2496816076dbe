import { among, channelOf, everyone } from '../auth/channels.ts'
import {
  type Readable,
  type Reading,
  readableOf,
  requireReadable,
  type Standings,
  tooManyChannels,
} from '../auth/standing.ts'
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
  /** Whether it is a page of the archive, and not of what is not archived. */
  archivedOnly: boolean
}

/**
 * What to change: mark these notifications, all up to a cursor, or all as read; take these into the archive or back; or
 * take all up to a cursor as seen.
 */
export type InboxChange =
  | { ids: string[]; read: boolean }
  | { ids: string[]; archived: boolean }
  | { upTo: Cursor }
  | { upTo: Cursor; seen: true }
  | { all: true }

/**
 * The owner of an inbox, and the channels that this user may read now. With `only`, what is asked is of these of them.
 * When there are more than MAX_CHANNELS, `isCut`: `channels` are then those of `only`.
 */
export type Reader = {
  userId: string
  channels: readonly string[]
  only: readonly string[] | null
  isCut: boolean
}

/**
 * A count of unread notifications, of those among them that were not seen, and when it was counted. Clients receive
 * counts in answers and on streams in any order, and add later events to the newest one.
 */
export type Count = {
  unread: number
  /** Present when there may be more. */
  unreadIsLeast?: true
  /** How many of the unread were not seen, either: those after the last that was. */
  unseen: number
  unseenIsLeast?: true
  /** When the first of them expires, or what the user has muted until then comes back. */
  unreadUntil?: string
  /** The end of the log when it was counted. A stream from here carries what was not counted. */
  head: Cursor
  /** Grows with each change of what is seen, read, archived or muted; absent before the first. */
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
  /**
   * Marks notifications, and tells the user's streams. Throws `bad_cursor` for a cursor of another log, and
   * `unavailable`.
   */
  mark(reader: Reader, change: InboxChange): Promise<Count>
}

/**
 * Looks up the channels that a user may read now: those that were asked for, or all by name. Throws
 * `channel_forbidden`, `too_many_channels` and `unavailable`.
 */
export const createReaderOf =
  (standings: Standings, options: { adminRoleLevel: number; maxChannels: number }) =>
  async (reading: Reading, only: readonly string[] | null): Promise<Reader> => {
    const { userId } = reading
    const { maxChannels } = options
    let readable: Readable
    let count: number
    try {
      const standing = await standings.of(userId)
      const channels =
        only && standing.isCut ? await standings.pick(userId, only) : standing.channels
      readable = readableOf(reading, { ...standing, channels }, options.adminRoleLevel)
      count =
        only?.length ?? (readable.isCut ? await standings.count(userId) : readable.names.length)
    } catch (cause) {
      throw new KairanError(
        'unavailable',
        'Your channels cannot be looked up now. Try again soon.',
        {
          retryAfter: 2,
          cause,
        },
      )
    }
    const { isCut, names } = readable
    if (count > maxChannels || (isCut && !only)) {
      throw tooManyChannels(
        count,
        maxChannels,
        'An inbox shows no more either: name some, as ?channels=a,b.',
      )
    }
    requireReadable(only ?? [], readable)
    return { userId, channels: only && isCut ? only : names, only, isCut }
  }

/**
 * Runs `work` with the channels that a user may read, `only` of some of them. Throws `unavailable`, and the error that
 * the work throws.
 */
export type AsReader = <T>(
  reading: Reading,
  only: readonly string[] | null,
  work: (reader: Reader) => Promise<T>,
) => Promise<T>

/** How often the work is repeated because the user lost a channel meanwhile. */
const mostAttempts = 3

/**
 * Runs work with the channels that a user may read. If the user has lost one of them when the work ends, the work is
 * repeated: it may have read what was published there after the loss.
 */
export const createAsReader =
  (readerOf: ReturnType<typeof createReaderOf>): AsReader =>
  async (reading, only, work) => {
    for (let attempt = 1; attempt <= mostAttempts; attempt++) {
      const reader = await readerOf(reading, only)
      const result = await work(reader)
      const read = only ?? reader.channels
      if (read.every(channel => isOwn(channel, reading.userId))) return result
      const now = await readerOf(reading, only)
      if (only || read.every(among(now.channels))) return result
    }
    throw new KairanError('unavailable', 'Your channels change too fast. Try again soon.', {
      retryAfter: 2,
    })
  }

/** Whether a user can't lose a channel. */
const isOwn = (channel: string, userId: string) =>
  channel === everyone || channel === channelOf(userId)
