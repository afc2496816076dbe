/** The packages as they would be published: built, packed, and installed from the tarballs into an empty project. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Glob } from 'bun'
import { dependencies, devDependencies, patchedDependencies, version } from '../../package.json'
import { browser, withoutBrowser } from '../support/browser.ts'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/port.ts'
import { serve, tokenFor } from '../support/service.ts'

setDefaultTimeout(120_000)

let folder = ''
/** The packages, as npm would install them. */
const tarballs: Record<string, string> = {}
const projectOf = (name: string) => join(folder, name)
const installed = (path: string) => join(projectOf('types'), 'node_modules', path)

const run = async (
  command: string[],
  cwd: string,
  env: Record<string, string | undefined> = {},
  timeout = 90_000,
) => {
  const child = Bun.spawn(command, {
    cwd,
    env: { ...process.env, ...env },
    stdout: 'pipe',
    stderr: 'pipe',
    timeout,
  })
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { code: await child.exited, output, errors }
}

const { react, 'react-dom': reactDom, hono, vue, svelte, vite } = devDependencies
const elysia = { elysia: dependencies.elysia, '@elysiajs/eden': devDependencies['@elysiajs/eden'] }
const reactTypes = { '@types/react': devDependencies['@types/react'] }

/** Next.js has 340 MB: a build with it only where NEXT is set. Its version is the one that was tried. */
const withNext = Boolean(process.env.NEXT)
const nextVersion = '16.4.6'

/** What each project installs, besides types: nothing that it does not use. */
const projects: Record<string, () => Record<string, string | undefined>> = {
  elysia: () => ({ kairan: tarballs.kairan, ...elysia }),
  hono: () => ({ kairan: tarballs.kairan, hono }),
  react: () => ({
    '@kairan/client': tarballs['@kairan/client'],
    react,
    'react-dom': reactDom,
    vite,
  }),
  bell: () => ({ '@kairan/client': tarballs['@kairan/client'] }),
  serve: () => ({ kairan: tarballs.kairan }),
  next: () => ({
    ...tarballs,
    // It wants TypeScript and types, though it is told not to check them, and knows no TypeScript 7.
    ...(withNext && { next: nextVersion, react, 'react-dom': reactDom, ...reactTypes }),
    ...(withNext && { typescript: '5.9.3', '@types/node': '24' }),
  }),
  types: () => ({
    ...{ ...tarballs, ...elysia, ...reactTypes, hono, react, 'react-dom': reactDom, vue, svelte },
    ...{ '@types/react-dom': devDependencies['@types/react-dom'] },
    '@types/bun': devDependencies['bun-types'],
  }),
}

/** Makes a project of its own files, and installs what it needs. */
const make = async (name: string, needs: Record<string, string | undefined>) => {
  const path = projectOf(name)
  await cp(join(sources, name), path, { recursive: true })
  await cp(join(sources, 'page.html'), join(path, 'page.html'))
  const manifest = { type: 'module', dependencies: needs }
  await Bun.write(join(path, 'package.json'), JSON.stringify(manifest))
  const install = await run([process.execPath, 'install', '--no-summary'], path)
  expect(install).toMatchObject({ code: 0 })
}

const sources = join(import.meta.dir, 'projects')

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kairan-packages-'))
  const packages = join(folder, 'packages')
  const built = await run([process.execPath, 'scripts/build-packages.ts', packages], resolve('.'))
  expect(built).toMatchObject({ code: 0 })
  for (const [name, path] of [
    ['kairan', 'kairan'],
    ['@kairan/client', 'client'],
  ] as const) {
    const pack = ['npm', 'pack', '--silent', '--pack-destination', folder]
    const packed = await run(pack, join(packages, path))
    expect(packed).toMatchObject({ code: 0 })
    tarballs[name] = `file:${join(folder, packed.output.trim())}`
  }
  for (const [name, needs] of Object.entries(projects)) await make(name, needs())
  // All are typed in one place, where everything is installed.
  for (const name of Object.keys(projects)) {
    await cp(join(sources, name), join(projectOf('types'), name), { recursive: true })
  }
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
        ...{ strict: true, noEmit: true, skipLibCheck: false, types: ['bun'], jsx: 'react-jsx' },
      }
      const path = join(projectOf('types'), 'tsconfig.json')
      await Bun.write(path, JSON.stringify({ compilerOptions, files }))
      const tsc = [resolve('node_modules/.bin/tsc'), '--pretty', 'false', '-p', path]
      const { output } = await run(tsc, projectOf('types'))
      return [...output.matchAll(/^(\S+)\(\d+,\d+\): error .*/gm)]
    }
    const ours = ['hono/app.ts', 'serve/app.ts', 'react/main.tsx', 'client.ts', 'entries.tsx']
    const wrong = await check(...ours)
    expect(wrong.map(([line]) => line)).toEqual([])
    // Elysia's and Eden's own declarations have errors in them, with or without Kairan.
    const other = await check('elysia/app.ts', 'elysia/eden.ts')
    expect(
      other.filter(([, file]) => !/^node_modules\/(elysia|@elysiajs\/eden)\//.test(file ?? '')),
    ).toEqual([])
  })
}

/** Starts an application, and resolves with its address when it is ready. */
const start = async (name: string, databaseUrl: string) => {
  const child = Bun.spawn([process.execPath, 'app.ts'], {
    cwd: projectOf(name),
    // The application's settings are its own: none of these may count.
    env: {
      PATH: process.env.PATH,
      DATABASE: databaseUrl,
      MAX_STREAMS: 'none',
      DATABASE_URL: 'wrong',
    },
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const { value } = await child.stdout.getReader().read()
  const root = new TextDecoder().decode(value).trim().split('\n')[0] ?? ''
  await eventually(async () => (await fetch(`${root}/kairan/readyz`)).ok)
  return { root, child, [Symbol.dispose]: () => child.kill('SIGKILL') }
}

for (const name of ['elysia', 'hono', 'serve']) {
  test(`the project ${name} delivers what SQL and what the application publish`, async () => {
    await using db = await database({ empty: true })
    using app = await start(name, db.url)
    await using stream = await openReady(`${app.root}/kairan`, { headers: { 'x-user': '1' } })
    await db.sql`select kairan.publish('user-1', '{"n": 1}')`
    await stream.atLeast(1)
    const answer = await fetch(`${app.root}/ship`, { method: 'POST' })
    const { id } = await answer.json()
    const events = await stream.atLeast(2)
    expect(events.map(({ payload }) => payload.n)).toEqual([1, 2])
    expect(events[1]).toMatchObject({ id, type: 'order.shipped' })
    if (name === 'elysia') {
      const eden = await run([process.execPath, 'eden.ts', app.root, '1'], projectOf(name))
      expect(JSON.parse(eden.output)).toEqual({
        ...{ code: 'scope_missing', unread: 2, ticket: 'string', refused: 404 },
      })
    }
    app.child.kill('SIGTERM')
    expect(await app.child.exited).toBe(0)
    await stream.control('reconnect')
  })
}

for (const name of ['elysia', 'hono']) {
  test.skipIf(withoutBrowser)(
    `a page of the project ${name} shows what SQL publishes`,
    async () => {
      await using db = await database({ empty: true })
      using app = await start(name, db.url)
      await using chromium = await browser()
      const context = await chromium.newContext()
      await context.addCookies([{ name: 'session', value: '1', url: app.root }])
      const page = await context.newPage()
      await page.goto(app.root)
      await db.sql`select kairan.publish('user-1', '{"n": 7}')`
      await page.locator('#shown', { hasText: '7' }).waitFor()
    },
  )
}

for (const [name, built] of [
  ['react', 'dist'],
  ['bell', '.'],
] as const) {
  test.skipIf(withoutBrowser)(
    `a page of the project ${name} shows what SQL publishes`,
    async () => {
      if (name === 'react') {
        const vite = await run([process.execPath, 'x', 'vite', 'build'], projectOf(name))
        expect(vite).toMatchObject({ code: 0 })
      }
      using files = serveFolder(join(projectOf(name), built))
      await using db = await database()
      await using service = await serve(db, { CORS_ORIGINS: files.url })
      await using chromium = await browser()
      const context = await chromium.newContext()
      const token = await tokenFor('42')
      await context.addCookies([{ name: 'kairan_token', value: token, url: service.url }])
      const page = await context.newPage()
      await page.goto(`${files.url}/index.html?${new URLSearchParams({ service: service.url })}`)
      await db.sql`select kairan.publish('user-42', '{"title": "Order 7"}')`
      if (name === 'bell') {
        await page.getByRole('button', { name: 'Notifications, 1 unread' }).click()
        await page.getByRole('dialog').getByText('Order 7').waitFor()
      } else await page.getByText('1 unread: Order 7').waitFor()
    },
  )
}

test('a route handler of Next.js delivers, called as Next.js calls it', async () => {
  await using db = await database()
  const script = `
    const { GET } = await import('./app/kairan/[...path]/route.ts')
    const context = { params: Promise.resolve({ path: ['notifications', 'stream'] }) }
    const url = 'http://shop.example/kairan/notifications/stream'
    const { status, body } = await GET(new Request(url), context)
    console.log(status)
    for await (const bytes of body) process.stdout.write(bytes)`
  const child = Bun.spawn([process.execPath, '-e', script], {
    cwd: projectOf('next'),
    env: { PATH: process.env.PATH, DATABASE: db.url },
    stderr: 'inherit',
  })
  let text = ''
  const read = async () => {
    for await (const bytes of child.stdout) text += new TextDecoder().decode(bytes)
  }
  void read()
  try {
    await eventually(() => text.includes('"ready"'))
    await db.sql`select kairan.publish('user-42', '{"n": 1}')`
    await eventually(() => text.includes('"n": 1'))
    expect(text).toStartWith('200\n')
  } finally {
    child.kill('SIGKILL')
  }
})

test.skipIf(!withNext || withoutBrowser)(
  'Next.js builds, serves and delivers',
  async () => {
    await using db = await database()
    const next = (...command: string[]) => [process.execPath, '--bun', 'x', 'next', ...command]
    const env = { DATABASE: db.url, NEXT_TELEMETRY_DISABLED: '1' }
    const built = await run(next('build'), projectOf('next'), env, 300_000)
    expect(built).toMatchObject({ code: 0 })
    const port = await freePort()
    const child = Bun.spawn(next('start', '-H', '127.0.0.1', '-p', `${port}`), {
      cwd: projectOf('next'),
      env: { ...process.env, ...env },
      stdout: 'ignore',
      stderr: 'inherit',
    })
    try {
      const url = `http://127.0.0.1:${port}`
      await eventually(() =>
        fetch(`${url}/kairan/livez`).then(
          ({ ok }) => ok,
          () => false,
        ),
      )
      await using chromium = await browser()
      const page = await chromium.newPage()
      await page.goto(url)
      await db.sql`select kairan.publish('user-42', '{"title": "Order 7"}')`
      await page.getByText('1 unread: Order 7').waitFor()
    } finally {
      child.kill('SIGKILL')
    }
  },
  400_000,
)

const serveFolder = (folder: string) => {
  const server = Bun.serve({
    ...{ port: 0, hostname: '127.0.0.1' },
    async fetch({ url }) {
      const file = Bun.file(join(folder, new URL(url).pathname))
      return (await file.exists()) ? new Response(file) : new Response(null, { status: 404 })
    },
  })
  const url = `http://127.0.0.1:${server.port}`
  return { url, [Symbol.dispose]: () => void server.stop(true) }
}

test('the command works by its name, and has no checkout to develop in', async () => {
  const bunx = (...command: string[]) =>
    run([process.execPath, 'x', 'kairan', ...command], projectOf('types'))
  expect(await bunx('help')).toMatchObject({
    code: 0,
    output: expect.stringContaining('Usage: kairan'),
  })
  expect(await bunx('version')).toMatchObject({ code: 0, output: `${version}\n` })
  expect(await bunx('dev')).toMatchObject({ code: 1, errors: expect.stringContaining('checkout') })
  const token = await run(
    [process.execPath, 'x', 'kairan', 'token', '--sub', '7'],
    projectOf('types'),
    {
      JWT_SECRET: 'q7Jw0u4mXb1Zr8Tn5Kc2Vd9Lf6Hg3Ay-',
    },
  )
  expect(token.output.split('.')).toHaveLength(3)
})

test('kairan start serves from the tarball', async () => {
  await using db = await database({ empty: true })
  const child = Bun.spawn([process.execPath, 'x', 'kairan', 'start'], {
    cwd: projectOf('types'),
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
    // A machine that pauses makes it unready for a moment.
    await eventually(async () => (await fetch(`${url}/readyz`)).ok)
    for (const path of ['/dashboard', '/dashboard.js', '/client.js', '/openapi']) {
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
  expect([
    ...new Glob('**/node_modules/elysia/package.json').scanSync(projectOf('types')),
  ]).toHaveLength(1)
})
