/** A bound in time was missed, or what was to be seen did not come in time. It may be the machine: `again` looks anew. */
export class TooSlow extends Error {}

/**
 * Measures until it is fast enough, at most three times: a pause of the machine spoils one measurement, a product that
 * is too slow spoils each. Each attempt begins anew. Every other error ends it at once.
 */
export const again = async <T>(attempt: () => Promise<T>): Promise<T> => {
  for (let left = 2; ; left--) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof TooSlow) || left === 0) throw error
      console.log(`${error.message} Once more.`)
    }
  }
}

/** Throws `TooSlow` unless it took less than this. */
export const expectWithin = (what: string, ms: number, limitMs: number) => {
  if (ms >= limitMs) throw new TooSlow(`${what}: ${Math.round(ms)} ms, not less than ${limitMs}.`)
}
