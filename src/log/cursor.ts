import { KairanError } from '../lib/errors.ts'

/**
 * A position in the log: everything up to `seq` is known. On the wire it is the event's `id`,
 * `<epoch>-<seq>`; the epoch tells the log of one database from that of another.
 */
export type Cursor = { epoch: string; seq: number }

export const formatCursor = ({ epoch, seq }: Cursor) => `${epoch}-${seq}`

/** Reads a cursor that a client sent. Throws `bad_cursor` when Kairan can't have given it. */
export const parseCursor = (text: string): Cursor => {
  const [, epoch, digits] = /^([0-9a-z]{1,16})-(\d{1,16})$/.exec(text) ?? []
  const seq = Number(digits)
  if (epoch === undefined || !Number.isSafeInteger(seq)) {
    throw new KairanError(
      'bad_cursor',
      `"${text.slice(0, 64)}" is no cursor. Send the id of the last event, unchanged, or nothing.`,
    )
  }
  return { epoch, seq }
}
