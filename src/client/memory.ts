/**
 * Remembers a cursor across page loads: in `sessionStorage` that of this tab, so that a reload continues where it was; in
 * `localStorage` that of the browser, where a new tab starts if no other is open. Stores the cursor if one is given, and
 * returns the stored one.
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
      return null // Storage is forbidden or full. Then nothing is remembered: the inbox has everything.
    }
  }
