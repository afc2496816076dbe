export type Random = {
  /** From 0 up to, and without, 1. */
  next(): number
  between(low: number, high: number): number
  integer(low: number, high: number): number
  chance(share: number): boolean
  pick<T>(from: readonly T[]): T
}

/** Random choices that a seed makes repeatable (mulberry32). */
export const createRandom = (seed: number): Random => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const integer = (low: number, high: number) => low + Math.floor(next() * (high - low + 1))
  return {
    next,
    between: (low, high) => low + next() * (high - low),
    integer,
    chance: share => next() < share,
    pick(from) {
      const found = from[integer(0, from.length - 1)]
      if (found === undefined) throw new Error('There is nothing to pick from')
      return found
    },
  }
}
