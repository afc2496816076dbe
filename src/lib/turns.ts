import { KairanError } from './errors.ts'

/** Runs the work of one key in turns, and the work of different keys side by side. */
export type Turns = {
  /**
   * Runs `work` when its turn comes among the work of this key. Throws `rate_limited` when too much work of the key
   * waits already, `unavailable` when the turn does not come in time, and the error that the work throws.
   */
  run<T>(key: string, work: () => Promise<T>): Promise<T>
}

/**
 * Runs at most `atOnce` pieces of work of a key at a time, so that the requests of one user wait for each other and
 * not before those of other users. At most `mostWaiting` pieces wait for a key, each at most `waitMs`.
 */
export const createTurns = (options: {
  atOnce: number
  mostWaiting: number
  waitMs: number
}): Turns => {
  /** For each key with running work: how many pieces run, and which wait, in order. */
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

  /** Gives the turn to the next piece, or ends it when none waits. */
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
