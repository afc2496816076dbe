/**
 * Listeners by name. Each `add` counts by itself, also of the same function. What is added while they are
 * called waits for the next event, and what is removed is not called any more. What one throws is reported as
 * the browser does it, and keeps nothing from the others.
 */
export const createListeners = <Event>() => {
  const lists = new Map<string, Set<{ listener: (event: Event) => void }>>()
  return {
    /** Of those that somebody listens to. */
    names: () => [...lists.keys()],
    add(name: string, listener: (event: Event) => void) {
      const list = lists.get(name) ?? new Set()
      const entry = { listener }
      lists.set(name, list.add(entry))
      return () => {
        if (list.delete(entry) && list.size === 0) lists.delete(name)
      }
    },
    call(name: string, event: Event) {
      const list = lists.get(name)
      for (const entry of [...(list ?? [])]) {
        try {
          if (list?.has(entry)) entry.listener(event)
        } catch (error) {
          reportError(error)
        }
      }
    },
  }
}
