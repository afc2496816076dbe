/** Looks up one key. Lookups that wait are combined. */
export type BatchLookup<Answer> = (key: string) => Promise<Answer>

/**
 * Combines lookups: `ask` runs once at a time, with at most `most` keys. Keys that arrive while it runs are asked
 * for together in the next call. A single key does not wait; thousands of keys share a few calls. If `ask` rejects,
 * the lookups of its keys reject with the same error.
 */
export const createBatchLookup = <Answer>(
  ask: (keys: string[]) => Promise<(key: string) => Answer>,
  most = 1000,
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
      if (!asking) void askAll()
    })
}
