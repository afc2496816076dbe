/** Answers for one key; asks for many at once when many are wanted. */
export type Gather<Answer> = (key: string) => Promise<Answer>

/**
 * One question at a time, with at most `most` keys: who comes while it is under way is in the next. Alone,
 * nobody waits for others; when thousands come at once, each costs a small part of a question. Rejects,
 * for all of its keys, as the question does.
 */
export const createGather = <Answer>(
  ask: (keys: string[]) => Promise<(key: string) => Answer>,
  most = 1000,
): Gather<Answer> => {
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
