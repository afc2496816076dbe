/** How far a tab has come in the log, as the cursor of the last frame that it has seen. */
export type Place = {
  readonly cursor: string | null
  /** Whether it has not seen all up to this cursor, as when that is of another log. */
  isBehind(cursor: string): boolean
  /** Whether it is a cursor of the same log. */
  isComparable(cursor: string): boolean
  moveTo(cursor: string): void
  /** Whether a notification comes for the first time; true for one without an id. */
  isNew(id: string | null): boolean
}

/** So many ids of notifications are remembered. */
const maxIds = 1000

/** `cursor` is where it begins; `onMove` hears where it goes. */
export const createPlace = (cursor: string | null, onMove: (cursor: string) => void): Place => {
  const ids = new Set<string>()
  return {
    get cursor() {
      return cursor
    },
    isBehind: other => cursor !== null && !(distance(other, cursor) <= 0),
    isComparable: other => cursor !== null && !Number.isNaN(distance(other, cursor)),
    moveTo(next) {
      cursor = next
      onMove(next)
    },
    isNew(id) {
      if (id === null) return true
      if (ids.has(id)) return false
      ids.add(id)
      // A set keeps the order: the first is the oldest.
      if (ids.size > maxIds) for (const oldest of ids) return ids.delete(oldest)
      return true
    },
  }
}

/**
 * How far cursor `a` is ahead of `b`: negative when it is behind, NaN when they are of different logs. A
 * stream is in the order of the log, so what is not ahead of what a tab has seen, it has seen.
 */
export const distance = (a: string, b: string) => {
  const [logA, seqA] = a.split('-')
  const [logB, seqB] = b.split('-')
  return logA === logB ? Number(seqA) - Number(seqB) : Number.NaN
}
