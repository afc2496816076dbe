/**
 * Listeners by name. Each `add` counts by itself, also of the same function. What is added while they are
 * called waits for the next event, and what is removed is not called any more. What one throws is reported as
 * the browser does it, and keeps nothing from the others.
 */
export const createListeners = <Event>() => {
  // A new list after each change: what is under way goes over the old one.
  let entries: { name: string; listener: (event: Event) => void }[] = []
  return {
    /** Of those that somebody listens to, some of them several times. */
    names: () => entries.map(({ name }) => name),
    add(name: string, listener: (event: Event) => void) {
      const entry = { name, listener }
      entries = [...entries, entry]
      return () => {
        entries = entries.filter(other => other !== entry)
      }
    },
    call(name: string, event: Event) {
      for (const entry of entries) {
        try {
          if (entry.name === name && entries.includes(entry)) entry.listener(event)
        } catch (error) {
          reportError(error)
        }
      }
    },
  }
}
