/**
 * Runs at most `most` pieces of work at a time; the others start in the order in which they came. So background work
 * leaves room for work that a user waits for, and its deadlines count from its start.
 */
export const createLane = (most: number) => {
  const waiting: (() => void)[] = []
  /** Index of the next piece. Shifting an array of 50,000 entries would move all of them. */
  let next = 0
  let under = 0

  const leave = () => {
    const begin = waiting[next]
    if (!begin) {
      waiting.length = 0
      next = 0
      under--
      return
    }
    next++
    if (next > 1000 && next * 2 > waiting.length) {
      waiting.splice(0, next)
      next = 0
    }
    begin()
  }

  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (under < most) under++
    else await new Promise<void>(begin => waiting.push(begin))
    try {
      return await work()
    } finally {
      leave()
    }
  }
}
