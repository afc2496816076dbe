/** A value at a border of a limit, and whether every parser has to accept it. */
export type Border = { what: string; value: string; isValid: boolean }

/** Names around the most characters that a name may have, and names that Postgres cannot store. */
export const bordersOf = (most: number): Border[] => [
  { what: 'one letter', value: 'x', isValid: true },
  ...Object.entries({ ASCII: 'x', emoji: '😀', kanji: '覧' }).flatMap(([what, character]) => [
    { what: `${most} of ${what}`, value: character.repeat(most), isValid: true },
    { what: `${most + 1} of ${what}`, value: character.repeat(most + 1), isValid: false },
  ]),
  // Two code points that are drawn as one character.
  { what: `${most} with accents`, value: 'e\u0301'.repeat(most / 2), isValid: true },
  { what: `${most + 1} with accents`, value: `${'e\u0301'.repeat(most / 2)}e`, isValid: false },
  { what: 'a high surrogate', value: 'a\ud800', isValid: false },
  { what: 'a low surrogate', value: '\udc00a', isValid: false },
  { what: 'U+0000', value: 'a\0', isValid: false },
]

/** Percent-encodes a value. Half of a surrogate pair becomes the bytes that some programs make of it. */
export const percentEncode = (value: string) =>
  [...value]
    .map(character => {
      const code = character.codePointAt(0) ?? 0
      if (character.isWellFormed()) return encodeURIComponent(character)
      return `%ED%${(0x80 | ((code >> 6) & 63)).toString(16)}%${(0x80 | (code & 63)).toString(16)}`
    })
    .join('')
