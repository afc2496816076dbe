/**
 * Runs the named benchmarks (`bun run bench fanout paced`), or all of them, one after the other. Each is a file that
 * prints its table.
 */
import { Glob } from 'bun'

const all = [...new Glob('*.ts').scanSync(import.meta.dir)]
  .map(file => file.slice(0, -'.ts'.length))
  .filter(name => name !== 'run')
  .toSorted()
const named = process.argv.slice(2)
const unknown = named.filter(name => !all.includes(name))
if (unknown.length > 0) {
  console.error(`There is no benchmark ${unknown.join(', ')}: there are ${all.join(', ')}.`)
  process.exit(64)
}

let failed = 0
for (const name of named.length > 0 ? named : all) {
  console.log(`\n${name}`)
  const bench = Bun.spawn([process.execPath, `${import.meta.dir}/${name}.ts`], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if ((await bench.exited) !== 0) failed++
}
process.exitCode = failed
