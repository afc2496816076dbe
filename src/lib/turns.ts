import { KairanError } from './errors.ts'
import { createSemaphore, type Semaphore } from './semaphore.ts'

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
  /** One for each key that has work. */
  const semaphores = new Map<string, Semaphore>()

  const semaphoreOf = (key: string) => {
    const known = semaphores.get(key)
    if (known) return known
    const created = createSemaphore(options.atOnce, {
      ms: options.waitMs,
      most: options.mostWaiting,
      tooLate,
      tooMany,
    })
    semaphores.set(key, created)
    return created
  }

  return {
    async run(key, work) {
      const semaphore = semaphoreOf(key)
      try {
        return await semaphore.run(work)
      } finally {
        if (semaphore.size === 0) semaphores.delete(key)
      }
    },
  }
}

const tooMany = () =>
  new KairanError('rate_limited', 'Too many requests at once: wait for their answers.', {
    retryAfter: 1,
  })

const tooLate = () =>
  new KairanError('unavailable', 'Your earlier requests have not ended yet. Try again soon.', {
    retryAfter: 2,
  })
