import { KairanError } from './errors.ts'

/** Runs the work of each key at a bounded rate, and that of different keys side by side. */
export type Turns = {
  /**
   * Runs `work` when it is its turn among the work of this key. Throws `rate_limited` when too much waits for the
   * key already, `unavailable` when the turn does not come in time, and what the work throws.
   */
  run<T>(key: string, work: () => Promise<T>): Promise<T>
}

/**
 * At most `atOnce` pieces of work at a time for each key: a user who sends many requests at once waits behind
 * these requests, and nobody else does. At most `mostWaiting` wait for a key, each for `waitMs`.
 */
export const createTurns = (options: {
  atOnce: number
  mostWaiting: number
  waitMs: number
}): Turns => {
  /** The keys whose work runs: how much of it, and what waits, in order. */
  const keys = new Map<string, { running: number; waiting: Set<() => void> }>()

  const enter = async (key: string) => {
    const known = keys.get(key)
    if (!known) keys.set(key, { running: 1, waiting: new Set() })
    else if (known.running < options.atOnce) known.running++
    else await wait(known.waiting)
  }

  const wait = async (waiting: Set<() => void>) => {
    if (waiting.size >= options.mostWaiting) {
      throw new KairanError('rate_limited', 'Too many requests at once: wait for their answers.', {
        retryAfter: 1,
      })
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      waiting.delete(resolve)
      const sentence = 'Your earlier requests have not ended yet. Try again soon.'
      reject(new KairanError('unavailable', sentence, { retryAfter: 2 }))
    }, options.waitMs)
    waiting.add(resolve)
    try {
      await promise
    } finally {
      clearTimeout(timer)
    }
  }

  /** Hands the turn to the next one, or gives it up. */
  const leave = (key: string) => {
    const known = keys.get(key)
    if (!known) return
    const [next] = known.waiting
    if (next) {
      known.waiting.delete(next)
      next()
    } else if (--known.running === 0) keys.delete(key)
  }

  return {
    async run(key, work) {
      await enter(key)
      try {
        return await work()
      } finally {
        leave(key)
      }
    },
  }
}
