import { excerpt, storageFaultOf } from '../lib/characters.ts'
import { parseDuration } from '../lib/duration.ts'
import { KairanError } from '../lib/errors.ts'
import { isObject } from '../lib/json.ts'
import { limits } from '../lib/limits.ts'
import { parseTime } from '../lib/time.ts'
import { publicationMembers as members } from './schema.ts'

/** A notification that a request wants to publish. */
export type Publication = {
  channels: string[]
  type: string | null
  dedupeKey: string | null
  /** In ISO 8601, in UTC. */
  expiresAt: string | null
  /** When it is sent; null for at once. In the same form. */
  sendAt: string | null
  /** After how long it is followed up if it was not received, as Postgres reads an interval; null for never. */
  followUpAfter: string | null
  /** The path to its payload in the body of the request. */
  path: string[]
}

/** A published notification. If its dedupeKey was used before, it is `repeated` and has the id of the first one. */
export type Published = { id: string; repeated: boolean }

/**
 * Publishes notifications. Resolves with the result or the error of each. `body` is the JSON that contains their
 * payloads; it is passed to Postgres as text. The notifications get the trace context, if there is one. Throws
 * `bad_notification` when Postgres cannot read the body, and `unavailable`.
 */
export type Publish = (
  publications: Publication[],
  body: string,
  /** Whose dedupe keys they have: the `sub` of the token. */
  publisher: string,
  traceparent?: string | null,
) => Promise<(Published | KairanError)[]>

/** The notifications of one request. An item that cannot be published is the error. */
export type Request = { isBatch: boolean; items: (Publication | KairanError)[]; body: string }

/** Reads `{channel | channels, payload, …}` or `{notifications: […]}`. `text` is the JSON of `parsed`. */
export const readJsonRequest = (parsed: unknown, text: string, key: string | null): Request => {
  if (!isObject(parsed)) {
    throw bad(
      `A notification is a JSON object, not ${excerpt(parsed)}. Send {"channel": …, "payload": …}.`,
    )
  }
  if (!('notifications' in parsed)) {
    return { isBatch: false, items: [readOne(parsed, ['payload'], key)], body: text }
  }
  const { notifications: list, ...rest } = parsed
  if (
    !Array.isArray(list) ||
    list.length === 0 ||
    list.length > limits.batch ||
    Object.keys(rest).length > 0
  ) {
    throw bad(
      `A batch is {"notifications": […]} with 1 to ${limits.batch} of them, and nothing else.`,
    )
  }
  if (key !== null)
    throw bad('In a batch each notification has its own dedupeKey: leave out Idempotency-Key.')
  const items = list.map((item, index) =>
    caught(() => {
      if (!isObject(item)) throw bad(`A notification is a JSON object, not ${excerpt(item)}.`)
      return readOne(item, ['notifications', String(index), 'payload'], null)
    }),
  )
  return { isBatch: true, items, body: text }
}

/** Reads a form: `channel` any number of times, `payload` as JSON, and the other fields once. */
export const readFormRequest = (form: URLSearchParams, key: string | null): Request => {
  const twice = [...form.keys()].find(
    name => !/^channels?$/.test(name) && form.getAll(name).length > 1,
  )
  if (twice !== undefined) throw bad(`The form has ${twice.slice(0, 50)} more than once.`)
  const { channel, channels, payload = '', ...rest } = Object.fromEntries(form)
  const names = [
    ...form.getAll('channel'),
    ...form.getAll('channels').flatMap(list => list.split(',')),
  ]
  // Browsers send fields that were left empty.
  const filled = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== ''))
  return {
    isBatch: false,
    items: [readOne({ ...filled, channels: names.filter(Boolean) }, [], key)],
    body: payload || 'null',
  }
}

const readOne = (
  from: Record<string, unknown>,
  path: string[],
  key: string | null,
): Publication => {
  // A mistyped dedupeKey that was ignored would send a notification twice.
  const unknown = Object.keys(from).find(name => !members.includes(name))
  if (unknown !== undefined) {
    throw bad(`A notification has no "${unknown.slice(0, 50)}", but ${members.join(', ')}.`)
  }
  const dedupeKey = textOf(from, 'dedupeKey')
  if (key !== null && dedupeKey !== null && key !== dedupeKey) {
    throw bad('Idempotency-Key and dedupeKey differ: send one of them.')
  }
  return {
    channels: channelsOf(from),
    type: textOf(from, 'type'),
    dedupeKey: dedupeKey ?? key,
    expiresAt: timeOf(from, 'expiresAt'),
    sendAt: timeOf(from, 'sendAt'),
    followUpAfter: durationOf(from, 'followUpAfter'),
    path,
  }
}

const channelsOf = ({ channel, channels }: Record<string, unknown>) => {
  if ((channel ?? null) !== null && (channels ?? null) !== null) {
    throw bad('Send channel, or channels, not both.')
  }
  const names = (channel ?? null) === null ? channels : [channel]
  if (!Array.isArray(names) || !names.every(name => typeof name === 'string')) {
    throw bad(`channel has to be a string, or channels a list of strings, not ${excerpt(names)}.`)
  }
  for (const name of names) requireStorable('channel', name)
  return names
}

const textOf = (from: Record<string, unknown>, name: string) => {
  const value = from[name] ?? null
  if (value === null) return null
  if (typeof value !== 'string')
    throw bad(`${name} has to be a string or null, not ${excerpt(value)}.`)
  requireStorable(name, value)
  return value
}

/** SQL checks everything else, the number of characters included. */
const requireStorable = (name: string, value: string) => {
  const fault = storageFaultOf(value)
  if (fault !== null) throw bad(`${name} ${fault}: ${excerpt(value)}. Remove that character.`)
}

const timeOf = (from: Record<string, unknown>, name: string) => {
  const text = textOf(from, name)
  if (text === null) return null
  const time = parseTime(text)
  if (time !== null) return time
  throw bad(
    `${name} has to be a time with its zone, like 2030-01-31T12:00:00Z, not ${excerpt(text)}.`,
  )
}

const durationOf = (from: Record<string, unknown>, name: string) => {
  const text = textOf(from, name)
  if (text === null) return null
  const ms = parseDuration(text)
  // SQL has its limits. What it calls a day can have 23 hours, so it gets milliseconds.
  if (!Number.isNaN(ms)) return `${ms} milliseconds`
  throw bad(`${name} has to be a time like 90s, 5m, 12h or 7d, not ${excerpt(text)}.`)
}

const caught = <T>(read: () => T) => {
  try {
    return read()
  } catch (error) {
    if (error instanceof KairanError) return error
    throw error
  }
}

const bad = (message: string) => new KairanError('bad_notification', message)
