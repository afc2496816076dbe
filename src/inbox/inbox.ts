import { readableChannels } from '../auth/channels.ts'
import type { LevelOf } from '../auth/roles.ts'
import { KairanError } from '../lib/errors.ts'
import { isObject } from '../lib/json.ts'
import { isUuid } from '../lib/uuid.ts'
import { type Cursor, parseCursor } from '../log/cursor.ts'

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

/** How many are unread. With `unreadIsLeast` there may be more. */
export type Unread = { unread: number; unreadIsLeast?: true }

export type InboxPage = Unread & {
  /** The notifications, newest first, each as its JSON. */
  items: string[]
  /** Where the next page begins, if there is one. */
  next: Cursor | null
  /** Where the log ended when the page was read: a stream from here has what the page has not. */
  head: Cursor
}

export type Inbox = {
  /** Reads a page. Throws `bad_cursor` when it begins in another log, or `unavailable`. */
  page(reader: Reader, query: InboxQuery): Promise<InboxPage>
  /** Marks, and tells the user's streams. Throws `bad_cursor` for one of another log, or `unavailable`. */
  mark(reader: Reader, change: InboxChange): Promise<Unread>
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

const mostOnPage = 100
const mostIds = 100
const mostTypes = 20

/** Reads `?limit=&before=&type=&unread=`. Throws `bad_request` or `bad_cursor`. */
export const readInboxQuery = (query: URLSearchParams): InboxQuery => {
  const before = query.get('before')
  return {
    limit: limitOf(query.get('limit')),
    before: before ? parseCursor(before) : null,
    types: typesOf(query.getAll('type')),
    unreadOnly: isTrue(query.get('unread')),
  }
}

/** Reads `{"ids"}` with or without `"read"`, `{"upTo"}` or `{"all": true}`. Throws `bad_request` or `bad_cursor`. */
export const readInboxChange = (body: unknown): InboxChange => {
  if (!isObject(body)) throw bad(oneOf)
  const { ids, upTo, all, read = true, ...rest } = body
  const named = [ids, upTo, all].filter(value => value !== undefined)
  if (named.length !== 1 || Object.keys(rest).length > 0) throw bad(oneOf)
  if (ids !== undefined) {
    if (typeof read !== 'boolean') throw bad('read has to be true or false.')
    return { ids: idsOf(ids), read }
  }
  if (read !== true) throw bad('Only ids can be marked as unread.')
  if (typeof upTo === 'string') return { upTo: parseCursor(upTo) }
  if (all === true) return { all }
  throw bad(oneOf)
}

const oneOf =
  'Send one of {"ids": [notification ids]}, {"upTo": "cursor"} and {"all": true}; with ids also "read": false.'

/** Reads `{"ids"}`. Throws `bad_request`. */
export const readReceipt = (body: unknown): string[] => {
  if (isObject(body) && Object.keys(body).join() === 'ids') return idsOf(body.ids)
  throw bad('Send {"ids": [notification ids]}.')
}

const idsOf = (value: unknown): string[] => {
  if (Array.isArray(value) && value.length <= mostIds && value.every(isUuid)) return value
  throw bad(`ids has to be a list of at most ${mostIds} ids of notifications (UUIDs).`)
}

const limitOf = (text: string | null) => {
  if (text === null) return 20
  const limit = Number(text)
  if (/^\d{1,3}$/.test(text) && limit >= 1 && limit <= mostOnPage) return limit
  throw bad(`limit has to be a whole number from 1 to ${mostOnPage}.`)
}

const typesOf = (lists: string[]) => {
  if (lists.length === 0) return null
  const names = lists.flatMap(list => list.split(',')).map(name => name.trim())
  const types = [...new Set(names)].filter(Boolean)
  if (types.length > 0 && types.length <= mostTypes && types.every(isType)) return types
  throw bad(`type has to be 1 to ${mostTypes} types, separated by commas.`)
}

const isTrue = (text: string | null) => {
  if (text === 'true') return true
  if (text === null || text === 'false') return false
  throw bad('unread has to be true or false.')
}

/** As many characters as a type can have, each of them one that Postgres can store. */
const isType = (name: string) => name.length <= 400 && !name.includes('\0') && name.isWellFormed()

const bad = (message: string) => new KairanError('bad_request', message)
