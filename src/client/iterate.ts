/** How many events may wait for a loop over them. */
const maxWaiting = 10_000

/**
 * Iterates over the events from now on, until `signal`. If 10,000 events wait for a slow loop, it ends with an error
 * instead of missing events.
 */
export async function* iterate<Event>(
  listen: (type: '*', listener: (event: Event) => void) => () => void,
  signal: AbortSignal,
): AsyncGenerator<Event, void> {
  const waiting: Event[] = []
  let wake: (() => void) | undefined
  const stop = listen('*', event => {
    waiting.push(event)
    wake?.()
  })
  signal.addEventListener('abort', () => wake?.())
  try {
    while (waiting.length <= maxWaiting) {
      const event = waiting.shift()
      if (event) yield event
      else if (signal.aborted) return
      else {
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
    }
    throw new Error('The loop is too slow')
  } finally {
    stop()
  }
}
