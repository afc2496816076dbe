import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** How to run Kairan from its source. */
export const fromSource = [process.execPath, join(import.meta.dir, '../../src/main.ts')]

export type Binary = { path: string; folder: string; remove(): Promise<void> }

/** Compiles Kairan as `bun run build` does, into a folder outside of the source. */
export const compile = async (): Promise<Binary> => {
  const folder = await mkdtemp(join(tmpdir(), 'kairan-binary-'))
  const path = join(folder, 'kairan')
  const build = Bun.spawn([
    ...[process.execPath, 'build', '--compile', '--minify', '--sourcemap'],
    ...['src/main.ts', '--outfile', path],
  ])
  if ((await build.exited) !== 0) throw new Error('Kairan could not be compiled')
  return { path, folder, remove: () => rm(folder, { recursive: true }) }
}
