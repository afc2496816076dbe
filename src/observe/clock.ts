/**
 * How the clock of Postgres goes compared with this process's: times of one must not be taken for times of the other.
 */
export type Clock = {
  /** Postgres said what time it is, between these two moments of this process. All in Unix milliseconds. */
  observe(sentAt: number, databaseAt: number, answeredAt: number): void
  /** By how many milliseconds it is ahead; null when it was not asked yet. */
  readonly aheadMs: number | null
}

/** Keeps the best of the last few answers: of one that took long, nobody knows when it was read. */
export const createClock = (): Clock => {
  let answers: { tookMs: number; aheadMs: number }[] = []
  return {
    observe(sentAt, databaseAt, answeredAt) {
      const aheadMs = databaseAt - (sentAt + answeredAt) / 2
      answers = [{ tookMs: answeredAt - sentAt, aheadMs }, ...answers].slice(0, kept)
    },
    get aheadMs() {
      const [best] = answers.toSorted((a, b) => a.tookMs - b.tookMs)
      return best?.aheadMs ?? null
    },
  }
}

/** With an answer every 5 s, a clock that was set is known within 40 s. */
const kept = 8
