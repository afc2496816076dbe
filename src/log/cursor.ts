import { KairanError } from '../lib/errors.ts'

/**
 * A position in the log: everything up to `seq` is known. On the wire it is the event's `id`,
 * `<epoch>-<seq>`; the epoch tells the log of one database from that of another.
 */
export type Cursor = { epoch: string; seq: number }

export const formatCursor = ({ epoch, seq }: Cursor) => `${epoch}-${seq}`

/**
 * A cursor of the inbox: a zero before the number tells it from those that streams carry. Who returns to a
 * stream with one has seen no stream of it.
 */
export const formatInboxCursor = ({ epoch, seq }: Cursor) => `${epoch}-0${seq}`

/** Whether a cursor, as a client sent it, is one that a stream carried. */
export const isOfStream = (text: string) => !/^[0-9a-z]+-0\d/.test(text)

/** A cursor that Kairan can't have given: of no log. */
export const unknownCursor: Cursor = { epoch: 'unknown', seq: 0 }

/** Reads the cursor of a client that returns: a browser gives up for good on a refusal, but heeds a gap. */
export const readLastEventId = (text: string): Cursor => {
  try {
    return parseCursor(text)
  } catch {
    return unknownCursor
  }
}

/** Reads a cursor that a client sent. Throws `bad_cursor` when Kairan can't have given it. */
export const parseCursor = (text: string): Cursor => {
  const [, epoch, digits] = /^([0-9a-z]{1,16})-(\d{1,17})$/.exec(text) ?? []
  const seq = Number(digits)
  if (epoch === undefined || !Number.isSafeInteger(seq)) {
    throw new KairanError(
      'bad_cursor',
      `"${text.slice(0, 64)}" is no cursor. Send the id of the last event, unchanged, or nothing.`,
    )
  }
  return { epoch, seq }
}
