/** Listeners by name. What one throws is reported as the browser does it, and keeps nothing from the others. */
export const createListeners = <Event>() => {
  const lists = new Map<string, Set<(event: Event) => void>>()
  return {
    add(name: string, listener: (event: Event) => void) {
      const list = lists.get(name) ?? new Set()
      lists.set(name, list.add(listener))
      return () => void list.delete(listener)
    },
    call(name: string, event: Event) {
      for (const listener of lists.get(name) ?? []) {
        try {
          listener(event)
        } catch (error) {
          reportError(error)
        }
      }
    },
  }
}
