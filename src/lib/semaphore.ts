/** Runs a bounded number of pieces of work at a time; the others start in the order in which they came. */
export type Semaphore = {
  /**
   * Runs `work` when a place is free. Throws `wait.tooLate()` when none becomes free in time, `wait.tooMany()` when
   * too many wait already, and the error that the work throws.
   */
  run<T>(work: () => PromiseLike<T>): Promise<T>
  /** How many pieces of work run or wait. */
  readonly size: number
}

/** How long work may wait for its place, and how much of it. */
export type Wait = {
  ms: number
  tooLate(): Error
  /** Unlimited by default. */
  most?: number
  tooMany?(): Error
}

/** `atOnce` places. Without `wait`, work waits for its place as long as it takes. */
export const createSemaphore = (atOnce: number, wait?: Wait): Semaphore => {
  /** Each call begins the work of one that waits. A set keeps their order, and lets any of them go at once. */
  const waiting = new Set<() => void>()
  let running = 0

  const place = async () => {
    if (wait?.most !== undefined && waiting.size >= wait.most && wait.tooMany) throw wait.tooMany()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    waiting.add(resolve)
    const timer =
      wait &&
      setTimeout(() => {
        waiting.delete(resolve)
        reject(wait.tooLate())
      }, wait.ms)
    try {
      await promise
    } finally {
      clearTimeout(timer)
    }
  }

  /** Gives the place to the next piece. */
  const leave = () => {
    const [next] = waiting
    if (!next) {
      running--
      return
    }
    waiting.delete(next)
    next()
  }

  return {
    async run(work) {
      if (running < atOnce) running++
      else await place()
      try {
        return await work()
      } finally {
        leave()
      }
    },
    get size() {
      return running + waiting.size
    },
  }
}
