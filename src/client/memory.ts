/**
 * Remembers cursors over page loads: that of this tab, so that a reload goes on exactly where it was, and
 * that of the browser, where a new tab begins when no other is open. A cursor says nothing of a content.
 */
export const createMemory = (name: string | null) => {
  const keep = (storage: () => Storage) => ({
    get: () => attempt(() => name && storage().getItem(name)),
    set: (cursor: string) => attempt(() => name && storage().setItem(name, cursor)),
  })
  return { tab: keep(() => sessionStorage), browser: keep(() => localStorage) }
}

/** Storage can be forbidden or full. Then nothing is remembered, and the inbox has it all. */
const attempt = <T>(action: () => T) => {
  try {
    return action() || null
  } catch {
    return null
  }
}
