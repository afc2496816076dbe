import { expect, test } from 'bun:test'
import { createRandom } from '../faults/random.ts'
import { findMistake, mistakes } from './mistakes.ts'

// All of them, several times: bun test/security/leak-mistakes.ts
const seed = Number(process.env.SEED) || Math.floor(Math.random() * 2 ** 31)
const name = createRandom(seed).pick(Object.keys(mistakes))

test(`the leak test finds it when ${name} (SEED=${seed})`, async () => {
  expect(await findMistake(name)).toBe(true)
}, 60_000)
