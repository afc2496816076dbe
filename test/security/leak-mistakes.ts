/**
 * Plants one mistake after the other, and says in how many runs the leak tests have found it: `bun
 * test/security/leak-mistakes.ts [--runs 5] [--only part of a name]`. It needs TEST_DATABASE_URL.
 */
import { parseArgs } from 'node:util'
import { findMistake, mistakes } from './mistakes.ts'

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '5' }, only: { type: 'string', default: '' } },
})
const runs = Number(values.runs)
let missed = 0
for (const name of Object.keys(mistakes).filter(name => name.includes(values.only))) {
  const found = []
  for (let run = 0; run < runs; run++) found.push(await findMistake(name))
  const count = found.filter(Boolean).length
  if (count < runs * 0.8) missed++
  console.log(`${count} of ${runs}: ${name}`)
}
console.log(`${missed} of these mistakes are missed too often.`)
process.exitCode = missed === 0 ? 0 : 1
