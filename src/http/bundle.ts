import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

const here = (path: string) => Bun.fileURLToPath(new URL(path, import.meta.url))
const cache = here('../../node_modules/.cache/kairan/')

/**
 * A macro that bundles a file for browsers. Bun calls it while it compiles the importing file, at start or for the
 * binary, and inserts the result. It runs the command `bun build`, because a macro may not await `Bun.build`. `entry`
 * is relative to this file; what a page imports itself is `external`.
 */
export const bundle = (entry: string, external = ['react', 'vue']): string =>
  run([
    ...['build', here(entry), '--minify', '--target=browser'],
    ...external.map(name => `--external=${name}`),
  ])

/**
 * The same, made smaller by terser, which takes half a second: so the result is kept until the bundle changes. Without
 * a place to keep it, it is made at each start.
 */
export const smallBundle = (entry: string): string => {
  const text = bundle(entry)
  const file = `${cache}${Bun.hash(text + readFileSync(here('./minify.ts'), 'utf8')).toString(36)}.js`
  if (existsSync(file)) return readFileSync(file, 'utf8')
  const small = run([here('./minify.ts')], text)
  try {
    mkdirSync(cache, { recursive: true })
    // Written elsewhere first: another process may start now.
    writeFileSync(`${file}.${process.pid}`, small)
    renameSync(`${file}.${process.pid}`, file)
  } catch {
    // This user may not write there.
  }
  return small
}

const run = (command: string[], input = '') => {
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, ...command], {
    stdin: Buffer.from(input),
  })
  if (exitCode !== 0) throw new Error(`The client could not be bundled: ${stderr}`)
  return stdout.toString()
}
