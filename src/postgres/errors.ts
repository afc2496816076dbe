import postgres from 'postgres'
import { KairanError } from '../lib/errors.ts'
import type { Sql } from './connect.ts'
import type { Database } from './database.ts'

/** Runs a statement, and throws what its caller's client may hear of: see `toRefusal`. */
export const runForClient = async <T>(
  database: Database,
  ask: (sql: Sql) => PromiseLike<T>,
): Promise<T> => {
  try {
    return await database.run(ask)
  } catch (error) {
    throw toRefusal(error)
  }
}

/**
 * What kairan's functions say is wrong with a notification, as `bad_notification` or `payload_too_large`;
 * null for what Postgres says itself, which can hold anything.
 */
export const refusalOf = (code: string, message: string, hint?: string | null) => {
  if (!message.startsWith('kairan: ')) return null
  const detail = [message.slice(8), hint].filter(Boolean).map(inJson).join('. ')
  if (code === '22023') return new KairanError('bad_notification', detail)
  if (code === '54000') return new KairanError('payload_too_large', detail)
  if (code === '23505') return new KairanError('dedupe_key_reused', detail)
  return null
}

/** What is said to programs that write SQL, in the words of those that send JSON. */
const words: readonly [RegExp, string][] = [
  [/^the dedupe_key /, 'dedupeKey '],
  [/^follow_up_after /, 'followUpAfter '],
  [/^send_at /, 'sendAt '],
  [
    /Several channels are a text\[\]: .*$/,
    'Several channels are a list: {"channels": ["a", "b"]}.',
  ],
  [/Pass the object, not its JSON\.stringify.*$/, 'Send the object itself, as {"payload": {…}}.'],
  [/interval '5 minutes'/, '"5m"'],
  [/now\(\) \+ interval '1 hour'/, '"2030-01-31T12:00:00Z"'],
  [/ Unix milliseconds are .*$/, ''],
  [/leave follow_up_after out/, 'leave followUpAfter out'],
]

const inJson = (text: string | null | undefined) =>
  words.reduce((said, [sql, json]) => said.replace(sql, json), text ?? '')

/**
 * Kairan's own messages are meant for whoever publishes; those of Postgres are not. A database that
 * can't be reached or can't write now is `unavailable`; the rest stays what it is.
 */
const toRefusal = (error: unknown) => {
  if (!(error instanceof postgres.PostgresError)) {
    return error instanceof TypeError ? error : unavailable(error)
  }
  const { code, message, hint } = error
  const reason = unreadable[code]
  if (reason) return new KairanError('bad_notification', reason)
  return refusalOf(code, message, hint) ?? (passes.test(code) ? unavailable(error) : error)
}

/** SQLSTATE: connection, deadlock, out of resources, lock not available, cancelled, starting; read-only. */
const passes = /^(08|40|53|55P03|57|25006)/

/** Why Postgres can not take something as text or as jsonb, by SQLSTATE. */
const unreadable: Record<string, string> = {
  '22P02': 'The payload is not JSON.',
  '22P05': 'Postgres can not store the character U+0000.',
  '22021': 'Postgres can not store the character U+0000.',
  '22003': 'The payload has a number that is too large for Postgres.',
  '54001': 'The payload is nested too deeply.',
}

const unavailable = (cause: unknown) =>
  new KairanError('unavailable', 'The database can not be used now. Try again soon.', {
    retryAfter: 2,
    cause,
  })
