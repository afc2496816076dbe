import { expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { createSeal, sealBytes } from '../../src/relay/seal.ts'

const key = randomBytes(32)
const sealWith = (shared: Uint8Array) => {
  const seal = createSeal()
  seal.use(shared)
  return seal
}

const close = (seal: ReturnType<typeof createSeal>, text: string) => {
  const sealed = seal.close(Buffer.from(text))
  if (!sealed) throw new Error('There is no key')
  return sealed
}

const open = (seal: ReturnType<typeof createSeal>, sealed: Uint8Array) => {
  const opened = seal.open(sealed)
  return typeof opened === 'string' ? opened : Buffer.from(opened).toString()
}

test('what one has sealed another one opens, once, and nobody reads it on the way', () => {
  const [one, other] = [sealWith(key), sealWith(key)]
  const sealed = ['first', 'second', 'first'].map(text => close(one, text))
  expect(sealed.map(({ length }) => length)).toEqual([5, 6, 5].map(bytes => bytes + sealBytes))
  expect(sealed.some(bytes => Buffer.from(bytes).includes('first'))).toBe(false)
  // The same words never look the same.
  expect(sealed[0]?.subarray(25)).not.toEqual(sealed[2]?.subarray(25))
  expect(sealed.map(bytes => open(other, bytes))).toEqual(['first', 'second', 'first'])
  expect(sealed.map(bytes => open(other, bytes))).toEqual(['old', 'old', 'old'])
  expect(sealed.map(bytes => open(one, bytes))).toEqual(['own', 'own', 'own'])
})

test('a message that overtakes another makes that one old', () => {
  const [one, other] = [sealWith(key), sealWith(key)]
  const [early, late] = [close(one, 'early'), close(one, 'late')]
  expect([open(other, late), open(other, early)]).toEqual(['late', 'old'])
})

test('what was changed, cut, sealed with another key or never sealed is refused', () => {
  const one = sealWith(key)
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(),
      fc.nat({ max: 7 }),
      (text, at, bit) => {
        const sealed = one.close(text)
        if (!sealed) throw new Error('There is no key')
        const changed = Buffer.from(sealed)
        const place = at % changed.length
        changed[place] = (changed[place] ?? 0) ^ (1 << bit)
        const other = sealWith(key)
        expect(other.open(changed)).toBe('forged')
        expect(other.open(sealed.subarray(0, place))).toBe('forged')
        expect(other.open(text)).toBe('forged')
        expect(sealWith(randomBytes(32)).open(sealed)).toBe('forged')
        // None of that keeps the true one from being opened.
        expect(other.open(sealed)).toEqual(Buffer.from(text))
      },
    ),
    { numRuns: 200 },
  )
})
