/** What a newcomer types first: each command of package.json, in a clone where nothing is installed. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { scripts } from '../package.json' with { type: 'json' }
import { eventually } from './support/eventually.ts'
import { isGone } from './support/process.ts'

const root = join(import.meta.dir, '..')

type Expectation = {
  arguments?: string[]
  env?: Record<string, string>
  /** What it prints, to either of its outputs. */
  prints?: RegExp
  /** A file that it makes. */
  makes?: string
  /** `ended`: it serves until it is told to end. Without it, the code depends on what it measures. */
  exits?: number | 'ended'
}

const expectations: Record<keyof typeof scripts, Expectation> = {
  dev: { prints: /Demo page +http:\/\/127\.0\.0\.1:\d+\//, exits: 'ended' },
  start: { prints: /JWT_SECRET is missing: set it to /, exits: 78 },
  migrate: { prints: /DATABASE_URL is missing: set it to /, exits: 78 },
  test: { arguments: ['test/lib'], prints: /\n[1-9]\d* passed, 0 failed\n$/, exits: 0 },
  'test:faults': { arguments: ['--mistake', 'none'], prints: /There are: naive/, exits: 1 },
  'test:memory': { env: { SCALE: '0.001' }, prints: /│ +peak with 1 stopped/ },
  'test:recovery': { env: { RUNS: '0' }, prints: /│ +listener killed/, exits: 0 },
  example: { prints: /The shop +http:\/\/127\.0\.0\.1:\d+/, exits: 'ended' },
  recipes: { makes: 'docs/recipes/node_modules/drizzle-orm', exits: 0 },
  check: { prints: /No fixes applied/, exits: 0 },
  build: { makes: 'dist/kairan', exits: 0 },
  bench: { arguments: ['none'], prints: /There is no benchmark none: .*fanout/, exits: 64 },
  'build:packages': { makes: 'dist/packages/kairan/types/embed/elysia.d.ts', exits: 0 },
  'build:client': { makes: 'dist/client/react.d.ts', exits: 0 },
}

let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kairan-clone-'))
  // As root, the server's user has to enter it.
  await chmod(folder, 0o755)
  await mkdir(join(folder, 'bin'))
  await symlink(process.execPath, join(folder, 'bin/bun'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The environment of somebody who has nothing but Bun: no program of this checkout, no settings. */
const environment = () => {
  const { PATH = '', HOME = '', TMPDIR } = process.env
  const programs = PATH.split(delimiter).filter(path => !path.includes('node_modules'))
  return {
    PATH: [join(folder, 'bin'), ...programs].join(delimiter),
    HOME,
    ...(TMPDIR === undefined ? {} : { TMPDIR }),
  }
}

const clone = async (name: string) => {
  const path = join(folder, name.replace(':', '-'))
  const git = Bun.spawn(['git', 'clone', '--quiet', root, path], { stderr: 'inherit' })
  expect(await git.exited).toBe(0)
  return path
}

for (const [name, expected] of Object.entries(expectations)) {
  test.skipIf(!existsSync(join(root, '.git')))(
    `bun run ${name} works in a fresh clone, or says what is missing`,
    async () => {
      const cwd = await clone(name)
      // A process group of its own, so that a signal ends all of it, as Ctrl-C does.
      const command = Bun.spawn(['bun', 'run', name, ...(expected.arguments ?? [])], {
        cwd,
        env: { ...environment(), ...expected.env },
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'pipe',
        detached: true,
      })
      const output = collect(command)
      const end = () => isGone(command.pid) || process.kill(-command.pid, 'SIGTERM')
      const limit = setTimeout(end, 90_000)
      try {
        if (expected.exits === 'ended') {
          await eventually(() => expected.prints?.test(output.text) || isGone(command.pid), 80_000)
          end()
        }
        await command.exited
        await output.closed
        if (expected.prints) expect(output.text).toMatch(expected.prints)
        if (expected.makes) expect(existsSync(join(cwd, expected.makes))).toBe(true)
        if (typeof expected.exits === 'number') {
          expect({ code: command.exitCode, output: output.text }).toMatchObject({
            code: expected.exits,
          })
        }
        // Its Postgres is gone too.
        const notes = new Bun.Glob('**/postmaster.pid').scanSync({ cwd, dot: true })
        expect([...notes]).toEqual([])
      } finally {
        clearTimeout(limit)
        end()
        await rm(cwd, { recursive: true, force: true })
      }
    },
    { timeout: 120_000 },
  )
}

/** What a program prints, in the order in which it arrives. */
const collect = (program: Bun.Subprocess<'ignore', 'pipe', 'pipe'>) => {
  const output = { text: '', closed: Promise.resolve<unknown>(null) }
  const read = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder()
    for await (const bytes of stream) output.text += decoder.decode(bytes, { stream: true })
  }
  output.closed = Promise.all([read(program.stdout), read(program.stderr)])
  return output
}
