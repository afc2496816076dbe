import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Glob } from 'bun'

/** `from` stands in one file of src, once: which one, the search tells, so that files can move. */
type Edit = { from: string; to: string }

/** Mistakes that are easily made. With each of them the harness has to fail, or it proves nothing. */
export const mistakes: Record<string, Edit[]> = {
  'naive cursor': [
    {
      from: 'state.head + sum(cardinality(f.names)) over earlier - cardinality(f.names) as seq_before',
      to: 'f.place * 1000 as seq_before',
    },
    {
      from: 'select state.n + 1, state.head + h.rows,',
      to: 'select state.n + 1, greatest(state.head, h.reached * 1000 + 999),',
    },
  ],
  'no catch-up after an outage': [
    {
      from: 'take(found)\n',
      to: 'take(missed ? { ...found, events: [] } : found)\n',
    },
    {
      from: 'state.problem = null\n      noticeServer',
      to: "const missed = state.problem !== null && epoch !== ''\n      state.problem = null\n      noticeServer",
    },
  ],
  'live before the backlog has ended': [
    {
      from: 'if (!this.isHeld && this.position >= head) this.live = true',
      to: 'this.live = true',
    },
  ],
}

/**
 * A copy of the service's source, with a mistake in it if one is named. Always a copy: instances that are
 * started again during a run have to be those that it began with.
 */
export const withMistake = async (name: string | undefined) => {
  const root = join(import.meta.dir, '../..')
  const edits = name === undefined ? [] : mistakes[name]
  if (!edits) throw new Error(`No such mistake. There are: ${Object.keys(mistakes).join(', ')}`)
  const folder = await mkdtemp(join(tmpdir(), 'kairan-mistake-'))
  await cp(join(root, 'src'), join(folder, 'src'), { recursive: true })
  for (const file of ['package.json', 'tsconfig.json'])
    await cp(join(root, file), join(folder, file))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const { from, to } of edits) await plant(join(folder, 'src'), from, to)
  return {
    path: join(folder, 'src'),
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
