/**
 * What the page goes through. A page that is put away or frozen has to let go of its connection and its
 * lock: with them it can't come back from the browser's cache, and it would keep the lead from others.
 */
export const watchPage = (
  on: {
    /** The network came or went. */
    network(): void
    /** Somebody looks at the page again. */
    shown(): void
    putAway(): void
    back(): void
  },
  signal: AbortSignal,
) => {
  const listen = (
    target: EventTarget | undefined,
    type: string,
    listener: (event: Event) => void,
  ) => target?.addEventListener?.(type, listener, { signal })
  const { document } = globalThis
  listen(globalThis, 'online', on.network)
  listen(globalThis, 'offline', on.network)
  listen(globalThis, 'pagehide', on.putAway)
  // Every page is shown once; only one that was put away comes back.
  listen(globalThis, 'pageshow', event => 'persisted' in event && event.persisted && on.back())
  listen(document, 'freeze', on.putAway)
  listen(document, 'resume', on.back)
  listen(document, 'visibilitychange', () => isVisible() && on.shown())
}

/** Where there is no page, as in a worker, it is as if somebody looked. */
export const isVisible = () => globalThis.document?.visibilityState !== 'hidden'
