import type { Queued } from './subscription.ts'

/** Puts frames into one write. */
export type Join = (queued: Queued[]) => Uint8Array

/**
 * Under load most streams are about to write the very same frames, one after the other: what was joined
 * last is kept and shared. A thousand streams of one channel then need one copy of a round, not a thousand.
 */
export const createJoin = (): Join => {
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
