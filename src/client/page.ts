/**
 * Events of the page. When a page is hidden in the browser's cache or frozen, it has to close its connection and
 * release its lock. Otherwise the browser cannot restore it from the cache, and no other tab can lead.
 */
export const watchPage = (
  on: {
    /** The network went up or down. */
    network(): void
    /** The page is visible again. */
    shown(): void
    putAway(): void
    back(): void
  },
  signal: AbortSignal,
) => {
  const listen = (
    target: EventTarget | undefined,
    type: string,
    listener: (event: Event & { persisted?: boolean }) => void,
  ) => target?.addEventListener?.(type, listener, { signal })
  const { document } = globalThis
  for (const type of ['online', 'offline']) listen(globalThis, type, on.network)
  listen(globalThis, 'pagehide', on.putAway)
  // `pageshow` also fires at the first load. `persisted` is true for a page from the cache only.
  listen(globalThis, 'pageshow', ({ persisted }) => persisted && on.back())
  listen(document, 'freeze', on.putAway)
  listen(document, 'resume', on.back)
  listen(document, 'visibilitychange', () => isVisible() && on.shown())
}

/** Without a document, as in a worker, it counts as visible. */
export const isVisible = () => !globalThis.document?.hidden
