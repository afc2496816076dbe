/** How many characters a text has: Unicode code points, as `char_length` counts them in Postgres. */
export const countCharacters = (text: string) =>
  text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0)

/** Why Postgres cannot store a text, as the end of a sentence that begins with its name; null when it can. */
export const storageFaultOf = (text: string): string | null => {
  if (text.includes('\0')) return 'contains U+0000, which Postgres cannot store'
  return text.isWellFormed() ? null : 'contains half of a surrogate pair, which is no character'
}

/** Why a text is no name of 1 to `most` characters, as `storageFaultOf`; null when it is one. */
export const nameFaultOf = (text: string, most: number): string | null => {
  const fault = storageFaultOf(text)
  if (fault !== null) return fault
  const count = countCharacters(text)
  return count >= 1 && count <= most ? null : `has ${count} characters, not 1 to ${most}`
}

/** A value as JSON for an error message: at most 100 characters of it, without halves of characters. */
export const excerpt = (value: unknown) =>
  (JSON.stringify(value) ?? 'undefined').slice(0, 100).toWellFormed()
