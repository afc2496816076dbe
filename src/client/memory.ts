/**
 * Remembers a cursor over page loads: `sessionStorage` that of this tab, so that a reload goes on exactly
 * where it was; `localStorage` that of the browser, where a new tab begins when no other is open. Sets it
 * when there is one to set, and returns what it is.
 */
export const createMemory =
  (name: string | null) =>
  (kind: 'sessionStorage' | 'localStorage', cursor?: string): string | null => {
    try {
      if (name === null) return null
      const storage = globalThis[kind]
      if (cursor) storage.setItem(name, cursor)
      // What somebody else has put there could not even be sent.
      return /^[\w-]{1,64}$/.exec(storage.getItem(name) ?? '')?.[0] ?? null
    } catch {
      return null // It is forbidden, or full. Then nothing is remembered: the inbox has it all.
    }
  }
