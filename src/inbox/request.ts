import { isChannel, parseChannels } from '../auth/channels.ts'
import { requireMembers } from '../http/body.ts'
import { flag, list, position, readQuery, several, single, wholeNumber } from '../http/query.ts'
import { excerpt, nameFaultOf } from '../lib/characters.ts'
import { KairanError } from '../lib/errors.ts'
import { isObject } from '../lib/json.ts'
import { limits } from '../lib/limits.ts'
import { parseTime } from '../lib/time.ts'
import { isUuid } from '../lib/uuid.ts'
import { parseCursor } from '../log/cursor.ts'
import type { InboxChange, InboxQuery } from './inbox.ts'
import type { MuteItem, Preferences } from './preferences.ts'

/** Reads `?limit=&before=&type=&unread=&archived=&channels=`. Throws `bad_request` or `bad_cursor`. */
export const readInboxQuery = (request: Request): InboxQuery => {
  const { limit, before, type, unread, archived } = readQuery(request, inboxParameters)
  return { limit, before, types: type, unreadOnly: unread, archivedOnly: archived }
}

const isType = (name: string) => nameFaultOf(name, limits.type) === null

/** Of which channels a request for the inbox is. */
export const channelParameters = {
  channels: several(
    parseChannels,
    'Only of these channels, separated by commas or as several parameters. Without it, of all that the user may read by name, at most `MAX_CHANNELS`.',
  ),
}

/** Reads `?channels=`; null for all. Throws `bad_channels`. */
export const readOnly = (request: Request) => readQuery(request, channelParameters).channels

/** What `GET /notifications` is asked for. */
export const inboxParameters = {
  ...channelParameters,
  limit: wholeNumber(1, limits.rows, 20),
  before: position(
    single(parseCursor, 'The `next` of the page before. Empty for the newest page.'),
  ),
  type: list(isType, limits.filterTypes, `types of 1 to ${limits.type} characters`),
  unread: flag('`true`: only unread notifications.'),
  archived: flag('`true`: the archive. Its notifications are in no count.'),
}

/** Reads `{"ids"}` with or without `"read"`, `{"upTo"}` or `{"all": true}`. Throws `bad_request` or `bad_cursor`. */
export const readInboxChange = (body: Record<string, unknown>): InboxChange => {
  const { ids, upTo, all, read = true, ...rest } = body
  const named = [ids, upTo, all].filter(value => value !== undefined)
  if (named.length !== 1 || Object.keys(rest).length > 0) throw bad(oneOf(body))
  if (ids !== undefined) {
    if (typeof read !== 'boolean') throw bad(`read has to be true or false, not ${excerpt(read)}.`)
    return { ids: idsOf(ids), read }
  }
  if (read !== true) throw bad('Only ids can be marked as unread: send "read": false with ids.')
  if (typeof upTo === 'string') return { upTo: parseCursor(upTo) }
  if (all === true) return { all }
  throw bad(oneOf(body))
}

const oneOf = (body: Record<string, unknown>) =>
  'Send one of {"ids": [notification ids]}, {"upTo": "cursor"} and {"all": true}; with ids also "read": false. ' +
  `The body is ${excerpt(body)}.`

/** Reads `{"upTo"}`. Throws `bad_request` or `bad_cursor`. */
export const readSeen = (body: Record<string, unknown>): InboxChange => {
  requireMembers(body, ['upTo'])
  const { upTo } = body
  if (typeof upTo === 'string') return { seen: true, upTo: parseCursor(upTo) }
  throw bad(`upTo has to be a cursor: that of a notification or of a page, not ${excerpt(upTo)}.`)
}

/** Reads `{"ids"}` with or without `"archived"`. Throws `bad_request`. */
export const readArchive = (body: Record<string, unknown>): InboxChange => {
  requireMembers(body, ['ids', 'archived'])
  const { ids, archived = true } = body
  if (typeof archived === 'boolean') return { ids: idsOf(ids), archived }
  throw bad(`archived has to be true or false, not ${excerpt(archived)}.`)
}

/** Reads `{"mute"}`. Throws `bad_request`. */
export const readPreferences = (body: Record<string, unknown>): Preferences => {
  requireMembers(body, ['mute'])
  const { mute } = body
  if (Array.isArray(mute) && mute.length <= limits.mutes) return { mute: mute.map(readMute) }
  throw bad(
    `mute has to be a list of at most ${limits.mutes} mutes, not ${excerpt(mute)}. ` +
      'A beginning of types, like news.*, mutes all of them.',
  )
}

const readMute = (value: unknown): MuteItem => {
  if (!isObject(value)) throw bad(`A mute has to be an object, not ${excerpt(value)}.`)
  const { type, channel, until = null, ...rest } = value
  const muted = type === undefined ? { channel } : channel === undefined ? { type } : null
  if (muted === null || Object.keys(rest).length > 0) {
    throw bad(`A mute has one of type and channel, and may have until. This is ${excerpt(value)}.`)
  }
  const end = until === null ? {} : { until: momentOf(until) }
  if ('channel' in muted) {
    if (isChannel(channel)) return { channel, ...end }
    throw bad(`channel has to be the name of a channel, not ${excerpt(channel)}.`)
  }
  if (typeof type === 'string' && isType(type.replace(/(?<=.)\*$/s, ''))) return { type, ...end }
  throw bad(
    `type has to be a type of 1 to ${limits.type} characters, or a beginning and a star: news.*. It is ${excerpt(type)}.`,
  )
}

const momentOf = (value: unknown) => {
  const time = typeof value === 'string' ? parseTime(value) : null
  if (time !== null && time >= '1970') return time
  throw bad(`until has to be a time like 2030-01-31T12:00:00Z, not ${excerpt(value)}.`)
}

/** Reads `{"ids"}`. Throws `bad_request`. */
export const readReceipt = (body: Record<string, unknown>): string[] => {
  requireMembers(body, ['ids'])
  return idsOf(body.ids)
}

const idsOf = (value: unknown): string[] => {
  if (!Array.isArray(value) || value.length > limits.ids) {
    throw bad(`ids has to be a list of at most ${limits.ids} ids, not ${excerpt(value)}.`)
  }
  const wrong = value.findIndex(id => !isUuid(id))
  if (wrong < 0) return value
  throw bad(`ids has to hold ids of notifications (UUIDs), not ${excerpt(value[wrong])}.`)
}

const bad = (message: string) => new KairanError('bad_request', message)
