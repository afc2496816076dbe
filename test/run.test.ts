/** What the test command promises, tried with a checkout that has its code and test files of its own. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from './support/eventually.ts'

const root = join(import.meta.dir, '..')
let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kairan-run-'))
  await mkdir(join(folder, 'test/support'), { recursive: true })
  const own = ['test/run.ts', 'test/timings.json', 'test/support/template.ts']
  for (const name of ['src', 'package.json', ...own]) {
    await cp(join(root, name), join(folder, name), { recursive: true })
  }
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  await write(
    'passes',
    `test('passes', () => expect(1).toBe(1)); test.skip('later', () => undefined)`,
  )
  await write('fails', `test('fails', () => expect(1).toBe(2))`)
  await write('crashes', `test('crashes', () => process.kill(process.pid, 'SIGKILL'))`)
  await write('exits', `test('exits', () => process.exit(0))`)
  await write('imports', `import './none.ts'\ntest('imports', () => undefined)`)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const write = (name: string, text: string) =>
  Bun.write(
    join(folder, `test/${name}.test.ts`),
    `import { expect, test } from 'bun:test'\n${text}\n`,
  )

const start = (args: string[], env: Record<string, string | undefined> = {}) => {
  const child = Bun.spawn([process.execPath, 'test/run.ts', ...args], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { text: '' }
  const read = async () => {
    const decoder = new TextDecoder()
    for await (const bytes of child.stderr) output.text += decoder.decode(bytes, { stream: true })
  }
  return { child, output, closed: read() }
}

const lastLine = async (...args: string[]) => {
  const { child, closed } = start(args)
  const lines = (await new Response(child.stdout).text()).trimEnd().split('\n')
  await closed
  return { last: lines.at(-1), code: await child.exited }
}

test('its last line counts what passed, failed and was skipped', async () => {
  expect(await lastLine('test/passes')).toEqual({ last: '1 passed, 0 failed, 1 skipped', code: 0 })
  expect(await lastLine('test/passes', 'test/fails')).toEqual({
    last: '1 passed, 1 failed, 1 skipped',
    code: 1,
  })
})

test('what a failed test printed is shown again at the end, where only the end is kept', async () => {
  const { child, closed } = start(['test/passes', 'test/fails'])
  const shown = await new Response(child.stdout).text()
  await closed
  expect(shown).toMatch(/^test\/fails\.test\.ts:\n[\s\S]*Expected: 2[\s\S]*\n\(fail\) fails/m)
  expect(shown).not.toContain('passes')
})

for (const name of ['crashes', 'exits', 'imports']) {
  test(`a file that ${name} is a failure, alone and beside others`, async () => {
    const alone = await lastLine(`test/${name}`)
    expect(alone).toEqual({ last: '0 passed, 1 failed', code: 1 })
    const beside = await lastLine(`test/${name}`, 'test/passes')
    expect(beside).toEqual({ last: '1 passed, 1 failed, 1 skipped', code: 1 })
  })
}

test('a name that no test has, and a file that is not there, are no success', async () => {
  expect(await lastLine('-t', 'none', 'test/passes')).toMatchObject({ code: 1 })
  expect(await lastLine('test/none')).toMatchObject({ code: 64 })
})

test('a Postgres that can not be reached is a failure', async () => {
  const { child } = start(['test/passes'], {
    TEST_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
  })
  expect(await new Response(child.stdout).text()).toBe('0 passed, 1 failed\n')
  expect(await child.exited).toBe(1)
})

test('--watch runs a file at each change on one Postgres, and leaves nothing when it is ended', async () => {
  const temporary = await mkdtemp(join(tmpdir(), 'kairan-watch-'))
  await Bun.spawn(['chmod', '755', temporary]).exited
  const url = 'console.log(process.env.TEST_DATABASE_URL)'
  await write('watched', `${url}\ntest('first', () => undefined)`)
  const { child, output, closed } = start(['--watch', 'test/watched'], {
    TEST_DATABASE_URL: undefined,
    TMPDIR: temporary,
  })
  const printed = new Response(child.stdout).text()
  await eventually(() => output.text.includes('(pass) first'), 60_000)
  await write('watched', `${url}\ntest('second', () => undefined)`)
  await eventually(() => output.text.includes('(pass) second'), 60_000)
  child.kill('SIGINT')
  await Promise.all([child.exited, closed])
  const urls = (await printed).match(/^postgres:.*$/gm) ?? []
  expect(urls.length).toBeGreaterThan(1)
  expect(new Set(urls).size).toBe(1)
  expect(await readdir(temporary)).toEqual([])
  await rm(temporary, { recursive: true })
})
