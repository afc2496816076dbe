/**
 * Lets at most `most` pieces of work be under way; the others begin in the order in which they came. So work
 * that nobody waits for leaves room for what somebody does, and its deadlines count from when it begins.
 */
export const createLane = (most: number) => {
  const waiting: (() => void)[] = []
  /** Where the next one is: to shift an array of 50,000 moves all of them. */
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
