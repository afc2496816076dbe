import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Glob } from 'bun'

/** `from` stands in one file of src, once: which one, the search tells, so that files can move. */
export type Edit = { from: string; to: string }

/** A copy of the service's source with these mistakes in it, and of the tests if they are asked for. */
export const copyWith = async (edits: readonly Edit[], { tests = false } = {}) => {
  const root = join(import.meta.dir, '../..')
  const folder = await mkdtemp(join(tmpdir(), 'kairan-mistake-'))
  for (const part of tests ? ['src', 'test'] : ['src']) {
    await cp(join(root, part), join(folder, part), { recursive: true })
  }
  for (const file of ['package.json', 'tsconfig.json', 'bunfig.toml']) {
    await cp(join(root, file), join(folder, file))
  }
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const { from, to } of edits) await plant(join(folder, 'src'), from, to)
  return {
    folder,
    source: join(folder, 'src'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}

const plant = async (source: string, from: string, to: string) => {
  const files = [...new Glob('**/*.{ts,sql}').scanSync(source)].map(file => join(source, file))
  const found: string[] = []
  for (const path of files) if ((await Bun.file(path).text()).includes(from)) found.push(path)
  const [path] = found
  if (path === undefined || found.length > 1) {
    throw new Error(`"${from}" is in ${found.length} files of src, not in one: plant it anew.`)
  }
  await Bun.write(path, (await Bun.file(path).text()).replace(from, to))
}
