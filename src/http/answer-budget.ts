import { KairanError } from '../lib/errors.ts'

/** Bounds the memory that answers hold until their clients have read them. */
export type AnswerBudget = {
  /**
   * Throws `rate_limited` when the unread answers to this user hold too much memory, and `unavailable` when all
   * unread answers do. Call it before an answer is made.
   */
  require(userId: string): void
  /** An answer with this text. It counts until its client has read it or has disconnected. */
  respond(userId: string, text: string, headers: Record<string, string>): Response
}

/** Answers up to this size fit into the buffers of a socket, and are not counted. */
const smallBytes = 32 * 1024
/** Size of the pieces in which an answer is given to the runtime. */
const pieceBytes = 64 * 1024

/**
 * At most `mostBytes` in all and `mostBytesPerUser` for a user, beyond which one more answer may be under way
 * for each connection to the database. A connection on which nothing moves is closed by the server's idle timeout.
 */
export const createAnswerBudget = (options: {
  mostBytes: number
  mostBytesPerUser: number
}): AnswerBudget => {
  const held = new Map<string, number>()
  let total = 0

  const change = (userId: string, bytes: number) => {
    total += bytes
    const left = (held.get(userId) ?? 0) + bytes
    if (left > 0) held.set(userId, left)
    else held.delete(userId)
  }

  return {
    require(userId) {
      if ((held.get(userId) ?? 0) >= options.mostBytesPerUser) {
        throw new KairanError(
          'rate_limited',
          'Answers to you wait to be read. Read them, or close their connections.',
          { retryAfter: 5 },
        )
      }
      if (total >= options.mostBytes) {
        throw new KairanError('unavailable', 'Too many answers wait to be read. Try again soon.', {
          retryAfter: 5,
        })
      }
    },
    respond(userId, text, headers) {
      const bytes = new TextEncoder().encode(text)
      if (bytes.length <= smallBytes) return new Response(bytes, { headers })
      change(userId, bytes.length)
      let isHeld = true
      const release = () => {
        if (isHeld) change(userId, -bytes.length)
        isHeld = false
      }
      return new Response(inPieces(bytes, release), { headers })
    },
  }
}

/** A body that yields a piece when the one before was read. Calls back when all were read or the client is gone. */
const inPieces = (bytes: Uint8Array, ended: () => void) => {
  let at = 0
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (at < bytes.length) {
          controller.enqueue(bytes.subarray(at, at + pieceBytes))
          at += pieceBytes
          return
        }
        ended()
        controller.close()
      },
      cancel: ended,
    },
    { highWaterMark: 0 },
  )
}
