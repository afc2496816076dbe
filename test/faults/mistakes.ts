import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

type Edit = { file: string; from: string; to: string }

/** Mistakes that are easily made. With each of them the harness has to fail, or it proves nothing. */
export const mistakes: Record<string, Edit[]> = {
  'naive cursor': [
    {
      file: 'postgres/schema/log.sql',
      from: 'set seq = log.head + numbered.place',
      to: 'set seq = d.id',
    },
    {
      file: 'postgres/schema/log.sql',
      from: 'sequence.head := log.head + sequence.assigned;',
      to: 'sequence.head := greatest(log.head, (select max(seq) from kairan.deliveries));',
    },
  ],
  'no catch-up after an outage': [
    {
      file: 'postgres/dispatcher.ts',
      from: 'take(found)\n',
      to: 'take(missed ? { ...found, events: [] } : found)\n',
    },
    {
      file: 'postgres/dispatcher.ts',
      from: 'state.problem = null\n',
      to: "const missed = state.problem !== null && epoch !== ''\n      state.problem = null\n",
    },
  ],
  'live before the backlog has ended': [
    {
      file: 'hub.ts',
      from: 'if (!subscription.isHeld && subscription.position >= head) subscription.live = true',
      to: 'subscription.live = true',
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
  for (const { file, from, to } of edits) {
    const path = join(folder, 'src', file)
    const text = await Bun.file(path).text()
    if (!text.includes(from)) throw new Error(`${file} has no "${from}" any more: plant it anew.`)
    await Bun.write(path, text.replace(from, to))
  }
  return {
    path: join(folder, 'src'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}
