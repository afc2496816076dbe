/** The packages as they would be published: built, packed, and installed from the tarballs into an empty project. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Glob } from 'bun'
import { dependencies, devDependencies, patchedDependencies, version } from '../../package.json'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

setDefaultTimeout(120_000)

let folder = ''
const project = () => join(folder, 'project')
const installed = (path: string) => join(project(), 'node_modules', path)

const run = async (
  command: string[],
  cwd: string,
  env: Record<string, string | undefined> = {},
) => {
  const child = Bun.spawn(command, {
    cwd,
    env: { ...process.env, ...env },
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: 90_000,
  })
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { code: await child.exited, output, errors }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kairan-packages-'))
  const packages = join(folder, 'packages')
  const built = await run([process.execPath, 'scripts/build-packages.ts', packages], resolve('.'))
  expect(built).toMatchObject({ code: 0 })
  const tarballs: Record<string, string> = {}
  for (const [name, path] of [
    ['kairan', 'kairan'],
    ['@kairan/client', 'client'],
  ] as const) {
    const packed = await run(
      ['npm', 'pack', '--silent', '--pack-destination', folder],
      join(packages, path),
    )
    expect(packed).toMatchObject({ code: 0 })
    tarballs[name] = `file:${join(folder, packed.output.trim())}`
  }
  await cp(join(import.meta.dir, 'project'), project(), { recursive: true })
  await Bun.write(
    join(project(), 'package.json'),
    JSON.stringify({
      type: 'module',
      dependencies: {
        ...tarballs,
        elysia: dependencies.elysia,
        hono: devDependencies.hono,
        '@elysiajs/eden': devDependencies['@elysiajs/eden'],
        react: devDependencies.react,
        '@types/react': devDependencies['@types/react'],
        '@types/bun': devDependencies['bun-types'],
      },
    }),
  )
  const install = await run([process.execPath, 'install', '--no-summary'], project())
  expect(install).toMatchObject({ code: 0 })
}, 180_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

for (const [module, resolution] of [
  ['esnext', 'bundler'],
  ['nodenext', 'nodenext'],
]) {
  test(`is typed where modules are resolved as ${resolution} does, with all declarations checked`, async () => {
    const check = async (...files: string[]) => {
      const compilerOptions = {
        ...{ module, moduleResolution: resolution, target: 'esnext', lib: ['esnext', 'dom'] },
        ...{ strict: true, noEmit: true, skipLibCheck: false, types: ['bun'] },
      }
      const path = join(project(), 'tsconfig.json')
      await Bun.write(path, JSON.stringify({ compilerOptions, files }))
      const tsc = [resolve('node_modules/.bin/tsc'), '--pretty', 'false', '-p', path]
      const { output } = await run(tsc, project())
      return [...output.matchAll(/^(\S+)\(\d+,\d+\): error .*/gm)]
    }
    const wrong = await check('hono.ts', 'serve.ts', 'client.ts')
    expect(wrong.map(([line]) => line)).toEqual([])
    // Elysia's and Eden's own declarations have errors in them, with or without Kairan.
    const other = await check('elysia.ts', 'eden.ts')
    expect(
      other.filter(([, file]) => !/^node_modules\/(elysia|@elysiajs\/eden)\//.test(file ?? '')),
    ).toEqual([])
  })
}

for (const file of ['elysia', 'hono', 'serve']) {
  test(`${file}.ts delivers what SQL and what the application publish`, async () => {
    await using db = await database({ empty: true })
    const child = Bun.spawn([process.execPath, `${file}.ts`], {
      cwd: project(),
      // The application's settings are its own: none of these may count.
      env: { PATH: process.env.PATH, DATABASE: db.url, MAX_STREAMS: 'none', DATABASE_URL: 'wrong' },
      stdout: 'pipe',
      stderr: 'inherit',
    })
    try {
      const reader = child.stdout.getReader()
      const root = new TextDecoder()
        .decode((await reader.read()).value)
        .trim()
        .split('\n')[0]
      await eventually(async () => (await fetch(`${root}/kairan/readyz`)).ok)
      await using stream = await openReady(`${root}/kairan`, { headers: { 'x-user': '1' } })
      await db.sql`select kairan.publish('user-1', '{"n": 1}')`
      await stream.atLeast(1)
      const answer = await fetch(`${root}/ship`, { method: 'POST' })
      const { id } = await answer.json()
      const events = await stream.atLeast(2)
      expect(events.map(({ payload }) => payload.n)).toEqual([1, 2])
      expect(events[1]).toMatchObject({ id, type: 'order.shipped' })
      if (file === 'elysia') {
        const eden = await run([process.execPath, 'eden.ts', root ?? '', '1'], project())
        expect(JSON.parse(eden.output)).toEqual({
          ...{ code: 'scope_missing', unread: 2, ticket: 'string', refused: 404 },
        })
      }
      child.kill('SIGTERM')
      expect(await child.exited).toBe(0)
      await stream.control('reconnect')
    } finally {
      child.kill('SIGKILL')
    }
  })
}

test('the command works by its name, and has no checkout to develop in', async () => {
  const bunx = (...command: string[]) =>
    run([process.execPath, 'x', 'kairan', ...command], project())
  expect(await bunx('help')).toMatchObject({
    code: 0,
    output: expect.stringContaining('Usage: kairan'),
  })
  expect(await bunx('version')).toMatchObject({ code: 0, output: `${version}\n` })
  expect(await bunx('dev')).toMatchObject({ code: 1, errors: expect.stringContaining('checkout') })
  const token = await run([process.execPath, 'x', 'kairan', 'token', '--sub', '7'], project(), {
    JWT_SECRET: 'q7Jw0u4mXb1Zr8Tn5Kc2Vd9Lf6Hg3Ay-',
  })
  expect(token.output.split('.')).toHaveLength(3)
})

test('kairan start serves from the tarball', async () => {
  await using db = await database({ empty: true })
  const child = Bun.spawn([process.execPath, 'x', 'kairan', 'start'], {
    cwd: project(),
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: db.url,
      JWT_SECRET: 'q7Jw0u4mXb1Zr8Tn5Kc2Vd9Lf6Hg3Ay-',
      ...{ PORT: '0', DRAIN_MS: '0' },
    },
    stdout: 'pipe',
    stderr: 'inherit',
  })
  try {
    let text = ''
    const read = async () => {
      for await (const bytes of child.stdout) text += new TextDecoder().decode(bytes)
    }
    void read()
    const url = await eventually(() => /"url":"([^"]+)".*Kairan is ready/.exec(text)?.[1])
    for (const path of ['/readyz', '/dashboard', '/dashboard.js', '/client.js', '/openapi']) {
      expect({ path, status: (await fetch(`${url}${path}`)).status }).toEqual({ path, status: 200 })
    }
    child.kill('SIGTERM')
    await child.exited
  } finally {
    child.kill('SIGKILL')
  }
})

test('the package has the patched driver, its licences and source maps, and nothing of this machine', async () => {
  const files = [...new Glob('**/*').scanSync(installed('kairan'))]
  const texts = await Promise.all(files.map(file => Bun.file(installed(`kairan/${file}`)).text()))
  expect(texts.filter(text => text.includes(resolve('.')))).toHaveLength(0)
  const patch = await Bun.file(patchedDependencies['postgres@3.4.9']).text()
  const [, added = ''] = /^\+\s+(proof = prove \?.*)$/m.exec(patch) ?? []
  expect(added).not.toBe('')
  const bundle = texts.find(
    (text, n) => files[n]?.endsWith('.js') && text.includes('proof = prove'),
  )
  expect(bundle).toBeDefined()
  const notices = await Bun.file(installed('kairan/THIRD-PARTY-LICENSES')).text()
  for (const name of [
    'postgres',
    'pino',
    'jose',
    'prom-client',
    '@elysiajs/cors',
    'preact',
    'uplot',
  ]) {
    expect(notices).toMatch(new RegExp(`^${name} \\d`, 'm'))
  }
  for (const name of ['kairan', '@kairan/client']) {
    const manifest = await Bun.file(installed(`${name}/package.json`)).json()
    expect(manifest).toMatchObject({ version, license: 'MIT', repository: expect.anything() })
    expect(manifest.dependencies).toBeUndefined()
    for (const file of ['README.md', 'LICENSE', 'index.js.map']) {
      expect(await Bun.file(installed(`${name}/${file}`)).exists()).toBe(true)
    }
  }
  // The client is minified in two steps: its map leads back over both, and carries the source.
  const map = await Bun.file(installed('@kairan/client/index.js.map')).json()
  expect(map.sources).toContain('src/client/iterate.ts')
  expect(map.sourcesContent.join()).toContain('export async function* iterate')
  // Of Elysia there is one: a plugin of another one would not be known as a plugin.
  expect([...new Glob('**/node_modules/elysia/package.json').scanSync(project())]).toHaveLength(1)
})
