/**
 * How long to wait after this many failures in a row: 50 ms, doubled by each failure up to `mostMs`, with
 * jitter, so that many clients do not return at the same moment.
 */
export const backoffMs = (failures: number, mostMs = 2000) =>
  Math.min(50 * 2 ** failures, mostMs) * (0.5 + Math.random() / 2)

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
