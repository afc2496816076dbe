/** Looks up one key. */
export type SharedLookup<Answer> = (key: string) => Promise<Answer>

/**
 * Runs at most `atOnce` look-ups of the same key at a time. Who asks for it meanwhile shares the next one: so an answer
 * is never older than its question, and a key that is asked for by thousands takes no place from the others. If `ask`
 * rejects, those who share it reject with the same error.
 */
export const createSharedLookup = <Answer>(
  ask: (key: string) => Promise<Answer>,
  atOnce: number,
): SharedLookup<Answer> => {
  const lookUps = new Map<string, LookUps<Answer>>()

  const begin = async (key: string, lookUp: LookUps<Answer>): Promise<Answer> => {
    lookUp.running++
    try {
      return await ask(key)
    } finally {
      lookUp.running--
      const { next } = lookUp
      lookUp.next = null
      if (next) begin(key, lookUp).then(next.resolve, next.reject)
      else if (lookUp.running === 0) lookUps.delete(key)
    }
  }

  return key => {
    const lookUp = lookUps.get(key) ?? { running: 0, next: null }
    lookUps.set(key, lookUp)
    if (lookUp.running < atOnce) return begin(key, lookUp)
    lookUp.next ??= Promise.withResolvers<Answer>()
    return lookUp.next.promise
  }
}

/** Those of one key. `next` begins when one of them has ended. */
type LookUps<Answer> = { running: number; next: PromiseWithResolvers<Answer> | null }
