import { expect, test } from 'bun:test'
import { createRandom } from '../faults/random.ts'
import { findMistake, mistakes } from './mistakes.ts'

// All of them, several times: bun test/security/leak-mistakes.ts
const seed = Number(process.env.SEED) || Math.floor(Math.random() * 2 ** 31)
const name = createRandom(seed).pick(Object.keys(mistakes))

test(`the leak test finds it when ${name} (SEED=${seed})`, async () => {
  // Some show only when the machine is fast enough.
  let isFound = false
  for (let attempt = 0; attempt < 3 && !isFound; attempt++) isFound = await findMistake(name)
  expect(isFound).toBe(true)
}, 300_000)
