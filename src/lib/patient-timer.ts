/** A timer that comes so much too late says that the event loop was blocked. */
const busyMs = 250

/**
 * Calls `then` after `ms` in which this process was able to listen: when it was too busy for that, or stood still, an
 * answer may be there already, and the time begins anew. Returns what ends the wait.
 */
export const afterListening = (ms: number, then: () => void): (() => void) => {
  let timer: ReturnType<typeof setTimeout>
  const begin = () => {
    const due = performance.now() + ms
    timer = setTimeout(() => {
      if (performance.now() - due > busyMs) begin()
      else then()
    }, ms)
  }
  begin()
  return () => clearTimeout(timer)
}
