import type { Queued } from './queue.ts'

/** Puts frames into one write. */
export type Coalesce = (queued: Queued[]) => Uint8Array

/**
 * Under load most streams write the very same frames, one after the other: the bytes that were made last are
 * kept and shared. A thousand streams of one channel then need one copy of a round, not a thousand.
 */
export const createCoalesce = (): Coalesce => {
  let last: Queued[] = []
  let bytes: Uint8Array = new Uint8Array()

  return queued => {
    const [first] = queued
    if (queued.length === 1 && first) return bytesOf(first)
    if (!isSame(queued, last)) {
      bytes = Buffer.concat(queued.map(bytesOf))
      last = queued
    }
    return bytes
  }
}

const bytesOf = (queued: Queued) => (queued instanceof Uint8Array ? queued : queued.bytes)

const isSame = (some: Queued[], others: Queued[]) => {
  if (some.length !== others.length) return false
  for (let index = 0; index < some.length; index++) if (some[index] !== others[index]) return false
  return true
}
