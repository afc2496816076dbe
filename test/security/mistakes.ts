import { copyWith, type Edit } from '../support/planted.ts'

/** Mistakes by which somebody reads what they may not. With each of them the leak test has to fail. */
export const mistakes: Record<string, Edit[]> = {
  'changes that come with a step of the relay are forgotten': [
    { from: 'changes.apply(told)\n', to: '' },
  ],
  'changes that come with a step of the relay are applied after its events': [
    { from: 'changes.apply(told)\n', to: 'setTimeout(() => changes.apply(told))\n' },
  ],
  'changes in the table are read after the events': [
    {
      from: 'await changes.read(found.changed, isSame)\n',
      to: 'setTimeout(() => void changes.read(found.changed, isSame))\n',
    },
  ],
  'a stream goes on while its rights are looked up': [
    { from: 'if (this.#holds++ === 0) this.#heldAt = head', to: 'return' },
    { from: '    this.#holds--\n', to: '' },
  ],
  'what waits in the queue is kept when a channel is lost': [
    { from: 'this.keep(queued => !isStored(queued))\n    this.live = false', to: '' },
    {
      from: 'this.keep(queued => !isEvent(queued) || !isLeft(queued.event.channel))',
      to: '',
    },
  ],
  'who leaves keeps the channel on an open stream': [
    {
      from: 'const channels = chosen(choice, may, toldAlso === null ? undefined : maxChannels)',
      to: 'const channels = [...new Set([...had, ...chosen(choice, may, maxChannels)])]',
    },
  ],
  'who leaves keeps what was asked for besides': [
    {
      from: 'const channels = chosen(choice, may, toldAlso === null ? undefined : maxChannels)',
      to: 'const channels = [...new Set([...chosen(choice, may, maxChannels), ...had.filter(name => choice.also.includes(name))])]',
    },
  ],
  'who leaves keeps what was asked for by name': [
    {
      from: 'const channels = chosen(choice, may, toldAlso === null ? undefined : maxChannels)',
      to: 'const channels = [...new Set([...chosen(choice, may, maxChannels), ...had.filter(name => choice.only?.includes(name))])]',
    },
  ],
  'CHANNELS_QUERY is not asked again': [
    {
      from: "  const queried = async (userId: string, rest: (from: string) => string, more: string[] = []) =>\n    channelsQuery === ''\n      ? []\n      : askChannels(",
      to: "  const asked = new Map<string, Promise<string[]>>()\n  const queried = async (userId: string, rest: (from: string) => string, more: string[] = []) =>\n    channelsQuery === ''\n      ? []\n      : asked.get(userId) ?? asked.set(userId, askChannels(",
    },
    {
      from: '[userId, ...more])\n',
      to: '[userId, ...more])).get(userId) ?? []\n',
    },
  ],
  'a role level is looked up at most once a second': [
    {
      from: 'const { changes } = under\n        const standing = await standings.of(userId)\n',
      to: `const { changes } = under
        const remembered = levels.get(userId)
        const standing = await standings.of(userId)
        if (remembered && remembered.at > Date.now() - 1000) standing.roleLevel = remembered.level
        else levels.set(userId, { at: Date.now(), level: standing.roleLevel })
`,
    },
    {
      from: 'const lookUps = new Map<string, LookUps>()',
      to: 'const lookUps = new Map<string, LookUps>()\n  const levels = new Map<string, { at: number; level: number }>()',
    },
  ],
  'rights are remembered until a stream returns': [
    {
      from: 'const may = await readable(reading, [...(asked ?? []), ...also])\n',
      to: `const remembered = rights.get(reading.userId)
      const may =
        remembered && remembered.at > Date.now() - 1000
          ? remembered.may
          : await readable(reading, [...(asked ?? []), ...also])
      rights.set(reading.userId, { at: Date.now(), may })
`,
    },
    {
      from: 'const lookUps = new Map<string, LookUps>()',
      to: 'const lookUps = new Map<string, LookUps>()\n  const rights = new Map<string, { at: number; may: Readable }>()',
    },
  ],
  'a look-up counts although rights have changed meanwhile': [
    { from: 'if (under.changes === changes) return complete', to: 'return complete' },
    { from: 'while (isStale())', to: 'while (isStale() && false)' },
  ],
  'names in a claim are beginnings': [
    {
      from: 'matches(channel, subscribes.filter(isBeginning))',
      to: 'matches(channel, subscribes)',
    },
    {
      from: 'isBeginning(pattern) ? begins(name, pattern) : name === pattern',
      to: "name.startsWith(pattern.replace(/[*]$/, ''))",
    },
  ],
  'beginnings in a claim give the channels of others, and of admins': [
    {
      from: 'return isOfApplication(channel) && matches(channel, subscribes.filter(isBeginning))',
      to: 'return matches(channel, subscribes.filter(isBeginning))',
    },
  ],
  'names in a claim give the channels of others, and of admins': [
    { from: '!isBeginning(name) && isOfApplication(name)', to: '!isBeginning(name)' },
  ],
}

/** Whether the leak test fails with this mistake planted. */
export const findMistake = async (name: string): Promise<boolean> => {
  const edits = mistakes[name]
  if (!edits) throw new Error(`No such mistake. There are: ${Object.keys(mistakes).join(', ')}`)
  await using copy = await copyWith(edits, { tests: true })
  const test = './test/security/leaks-in-one-step.test.ts'
  const run = Bun.spawn([process.execPath, 'test', '--timeout', '60000', test], {
    cwd: copy.folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const said = await new Response(run.stderr).text()
  // A mistake that can't be compiled proves nothing.
  if (!/^ *[0-9]+ expect\(\) calls/m.test(said)) throw new Error(`With "${name}":\n${said}`)
  return (await run.exited) !== 0
}
