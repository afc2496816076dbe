/** Runs every benchmark, one after the other: each is a file that prints its table. */
import { Glob } from 'bun'

const files = [...new Glob('*.ts').scanSync(import.meta.dir)].filter(file => file !== 'run.ts')
let failed = 0
for (const file of files.toSorted()) {
  console.log(`\n${file}`)
  const bench = Bun.spawn([process.execPath, `${import.meta.dir}/${file}`], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if ((await bench.exited) !== 0) failed++
}
process.exitCode = failed
