import { createWorkLoop } from './work-loop.ts'

export type Rounds = {
  /** Begins after `ms`, by default `everyMs`. */
  start(ms?: number): void
  /** Resolves when the round under way has ended. */
  stop(): Promise<void>
}

/** Does the same again and again, one round at a time. A round that fails is repeated after `everyMs`. */
export const createRounds = (options: {
  everyMs: number
  /** Resolves with after how many milliseconds the next one begins. */
  round(): Promise<number>
  /** Whether this instance is to do it: asked before each round. */
  isNeeded?(): boolean
  failed(error: unknown): void
}): Rounds => {
  const { everyMs, isNeeded = () => true } = options
  const loop = createWorkLoop({
    async work() {
      loop.schedule(isNeeded() ? await options.round() : everyMs)
      return 0
    },
    failed: options.failed,
    delayMs: everyMs,
    retryMs: everyMs,
  })
  return { start: loop.schedule, stop: loop.stop }
}
