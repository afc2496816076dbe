/**
 * Breaks things for as long as one likes: `bun run test:faults --seconds 600 --seed 7`. The choices of a
 * seed are repeatable; what the machine makes of them is not. `--mistake NAME` plants one. `--relay nats` breaks NATS,
 * too, and lies.
 */
import { parseArgs } from 'node:util'
import { chaos } from './chaos.ts'
import { withMistake } from './mistakes.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    mistake: { type: 'string' },
    relay: { type: 'string', default: 'postgres' },
  },
})

await using source = await withMistake(values.mistake)
console.log(`seed ${values.seed}${values.mistake ? `, mistake: ${values.mistake}` : ''}`)
const outcome = await chaos({
  seconds: Number(values.seconds),
  seed: Number(values.seed),
  source: source.path,
  relay: values.relay === 'nats' ? 'nats' : 'postgres',
  report: console.log,
})
const { faults, lies, ...counts } = outcome
console.table(faults)
if (Object.keys(lies).length > 0) console.table(lies)
console.table(counts)
const { missed, duplicated, outOfOrder, ghosts, gaps } = outcome
const wrong = missed + duplicated + outOfOrder + ghosts + gaps
if (wrong > 0) console.log(`Try seed ${values.seed} again.`)
console.log(wrong === 0 ? '1 passed, 0 failed' : '0 passed, 1 failed')
process.exitCode = wrong === 0 ? 0 : 1
