import { createRounds } from '../lib/rounds.ts'
import type { Moment } from './admin.ts'

export type History = {
  start(): void
  /** Resolves when nothing is read any more. */
  stop(): Promise<void>
  /** The moments of the last quarter of an hour, the oldest first, as far as this instance has been running. */
  all(): readonly Moment[]
}

/**
 * Remembers what the dashboard's charts show, so that they have a past when the page is opened. It holds at most `most`
 * moments. One that can't be read is left out.
 */
export const createHistory = (options: {
  read(): Promise<Moment>
  everyMs: number
  most: number
}): History => {
  const { read, everyMs, most } = options
  let moments: Moment[] = []
  const rounds = createRounds({
    everyMs,
    async round() {
      moments = [...moments, await read()].slice(-most)
      return everyMs
    },
    // What can't be read is left out.
    failed: () => undefined,
  })

  return {
    start: () => rounds.start(0),
    stop: rounds.stop,
    all: () => moments,
  }
}
