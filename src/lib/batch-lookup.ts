/** Looks up one key. Lookups that wait are combined. */
export type BatchLookup<Answer> = (key: string) => Promise<Answer>

/**
 * Combines lookups: `ask` runs once at a time, with at most `most` keys. Keys that arrive in the same turn of the event
 * loop, or while it runs, are asked for together in the next call. So a single key hardly waits, and thousands of keys
 * share a few calls. If `ask` rejects, the lookups of its keys reject with the same error.
 */
export const createBatchLookup = <Answer>(
  ask: (keys: string[]) => Promise<(key: string) => Answer>,
  most = 1000,
  /** When the first of several keys is asked for. At once, it would keep the others waiting for its answer. */
  soon: (begin: () => void) => void = setImmediate,
): BatchLookup<Answer> => {
  let waiting: { key: string; resolve(answer: Answer): void; reject(error: unknown): void }[] = []
  let asking = false

  const askAll = async () => {
    asking = true
    while (waiting.length > 0) {
      const some = waiting.slice(0, most)
      waiting = waiting.slice(most)
      try {
        const answerOf = await ask(some.map(({ key }) => key))
        for (const { key, resolve } of some) resolve(answerOf(key))
      } catch (error) {
        for (const { reject } of some) reject(error)
      }
    }
    asking = false
  }

  return key =>
    new Promise((resolve, reject) => {
      waiting.push({ key, resolve, reject })
      if (waiting.length === 1 && !asking) soon(askAll)
    })
}
