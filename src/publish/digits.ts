import { KairanError } from '../lib/errors.ts'

/** Above this exponent Postgres refuses a number. */
const mostExponent = 131_071

/**
 * Throws `payload_too_large` for a JSON text whose numbers have more than `most` digits when they are written out, as
 * Postgres does: `1e131071` is 8 bytes of a request and 128 KB of a row's text, so that a request of a megabyte would
 * take all the memory that Postgres can give before it is refused for its size.
 */
export const requireFewDigits = (json: string, most: number) => {
  // A hash in a string may look like a number: strings are left out only where that matters.
  if (digitsIn(json) <= most || digitsIn(json.replace(strings, '""')) <= most) return
  throw new KairanError(
    'payload_too_large',
    `Its numbers alone have more than the ${most} bytes that are allowed, as 1e1000 is stored with a thousand zeros. Send such numbers as strings.`,
  )
}

const digitsIn = (json: string) => {
  let digits = 0
  for (const [, exponent] of json.matchAll(exponents)) {
    if (Number(exponent) <= mostExponent) digits += Number(exponent)
  }
  return digits
}

/** Of numbers that are much shorter than they will be. */
const exponents = /\d[eE][+-]?0*(\d{3,6})(?!\d)/g
const strings = /"(?:[^"\\]|\\.)*"/gs
