/**
 * How long to wait after so many failures in a row: from 50 ms, doubled by each up to 2 s, with jitter.
 * Soon back, but no stampede.
 */
export const backoffMs = (failures: number) =>
  Math.min(50 * 2 ** failures, 2000) * (0.5 + Math.random() / 2)

/** A wait that can be cut short. */
export const createPause = () => {
  let end: (() => void) | null = null
  return {
    async wait(ms: number) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, ms)
      end = resolve
      await promise
      end = null
      clearTimeout(timer)
    },
    end: () => end?.(),
  }
}
