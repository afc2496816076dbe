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
  let timer: ReturnType<typeof setTimeout> | undefined
  let isStopped = false
  let reading: Promise<void> = Promise.resolve()

  const run = async () => {
    const moment = await read().catch(() => null)
    if (moment) moments = [...moments, moment].slice(-most)
    if (!isStopped) timer = setTimeout(next, everyMs)
  }
  const next = () => {
    reading = run()
  }

  return {
    start: next,
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await reading
    },
    all: () => moments,
  }
}
