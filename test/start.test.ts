import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createServer } from 'node:net'
import postgres from 'postgres'
import { type Binary, compile } from './support/binary.ts'
import { type Cluster, cluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import { freePort } from './support/port.ts'
import { isReady } from './support/process.ts'
import { run } from './support/program.ts'
import { secret } from './support/service.ts'

// The binary, since it is not the source: its classes have other names, for one.
let binary: Binary
let server: Cluster
let sql: postgres.Sql
beforeAll(async () => {
  ;[binary, server] = await Promise.all([compile(), cluster()])
  sql = postgres(server.url, { max: 1, onnotice: () => undefined })
  await sql`create role kairan_test_nobody login password 'secret'`
  await sql`create database kairan_test_ascii encoding 'SQL_ASCII' locale 'C' locale_provider libc template template0`
  for (const name of ['kairan_test_old', 'kairan_test_new']) {
    await sql.unsafe(`create database ${name}`)
    await run([binary.path, 'migrate'], { env: { DATABASE_URL: urlOf(name) } })
  }
  const change = async (name: string, statement: string) => {
    const other = postgres(urlOf(name), { max: 1 })
    await other.unsafe(statement)
    await other.end()
  }
  await change('kairan_test_old', `update kairan.migrations set digest = 'other'`)
  await change(
    'kairan_test_new',
    `insert into kairan.migrations (version, name, digest) values (99, 'future', 'x')`,
  )
}, 60_000)
afterAll(async () => {
  await sql.end()
  await server[Symbol.asyncDispose]()
  await binary.remove()
})

const urlOf = (
  name: string,
  parts: { username?: string; password?: string; search?: string } = {},
) => Object.assign(new URL(server.url), { pathname: `/${name}`, ...parts }).toString()

const start = (env: Record<string, string>, command = 'start') =>
  Bun.spawn([binary.path, command], {
    cwd: binary.folder,
    env: { DATABASE_URL: server.url, JWT_SECRET: secret, PORT: '0', LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })

/** What it ends with, and what it says. One that goes on for ever is ended, and the code is then another. */
const endOf = async (env: Record<string, string>, command?: string) => {
  const process = start(env, command)
  const timer = setTimeout(() => process.kill('SIGKILL'), 20_000)
  const said = await Promise.all([
    new Response(process.stdout).text(),
    new Response(process.stderr).text(),
  ])
  clearTimeout(timer)
  return { code: await process.exited, said: said.join('') }
}

const problems: [string, () => Record<string, string>, number, RegExp][] = [
  [
    'a wrong password',
    () => ({ DATABASE_URL: urlOf('kairan', { password: 'wrong' }) }),
    1,
    /password authentication failed/,
  ],
  [
    'a missing database',
    () => ({ DATABASE_URL: urlOf('kairan_test_none') }),
    1,
    /"kairan_test_none" does not exist/,
  ],
  [
    'a login without rights',
    () => ({
      DATABASE_URL: urlOf('postgres', { username: 'kairan_test_nobody', password: 'secret' }),
    }),
    1,
    /permission denied.*kairan migrate/,
  ],
  [
    'a database that is not UTF8',
    () => ({ DATABASE_URL: urlOf('kairan_test_ascii') }),
    1,
    /SQL_ASCII.*needs UTF8/,
  ],
  [
    'an outdated schema',
    () => ({ DATABASE_URL: urlOf('kairan_test_old') }),
    1,
    /unreleased version/,
  ],
  [
    'a server without TLS',
    () => ({ DATABASE_URL: `${server.url}?sslmode=require` }),
    1,
    /does not speak TLS/,
  ],
  [
    'a parameter that nobody knows',
    () => ({ DATABASE_URL: `${server.url}?pgbouncer=true` }),
    1,
    /"pgbouncer"/,
  ],
  [
    'what Kairan can not do',
    () => ({ DATABASE_URL: `${server.url}?channel_binding=require` }),
    78,
    /DATABASE_URL.*channel_binding/,
  ],
  [
    'a % in the password',
    () => ({ DATABASE_URL: 'postgres://u:50%off@127.0.0.1/d' }),
    78,
    /DATABASE_URL.*password has a %/,
  ],
  ['a wrong setting', () => ({ PORT: 'x', HEARTBEAT_MS: '1' }), 78, /PORT[\s\S]*HEARTBEAT_MS/],
]

for (const [name, env, code, words] of problems) {
  test(`start ends with ${code}, and says why: ${name}`, async () => {
    for (const workers of ['1', '2']) {
      const end = await endOf({ ...env(), WORKERS: workers })
      expect(end.said).toMatch(words)
      expect(end.code).toBe(code)
    }
  })
}

test('migrate ends, and says why, too', async () => {
  const password = await endOf({ DATABASE_URL: urlOf('kairan', { password: 'wrong' }) }, 'migrate')
  expect(password.said).toMatch(/password authentication failed/)
  expect(password.code).toBe(1)
})

test('start ends with 1, and says why: the port is taken', async () => {
  const port = await freePort()
  const other = createServer().listen(port, '127.0.0.1')
  try {
    const end = await endOf({ PORT: String(port) })
    expect(end.said).toContain(String(port))
    expect(end.code).toBe(1)
  } finally {
    other.close()
  }
})

test('start ends with 1, and says why: no address of this machine, or a name that has none', async () => {
  for (const HOST of ['192.0.2.1', 'nowhere.invalid']) {
    const end = await endOf({ HOST })
    expect(end.said).toMatch(new RegExp(`HOST="${HOST}" is`))
    expect(end.code).toBe(1)
  }
})

test('start that is told to end while it waits for the database never says that it is ready', async () => {
  const port = await freePort()
  const service = start({
    DATABASE_URL: `postgres://nobody@127.0.0.1:${port}/none`,
    LOG_LEVEL: 'info',
    // Longer than the pause between two attempts, after which the start ends.
    DRAIN_MS: '1500',
  })
  try {
    let said = ''
    for await (const bytes of service.stdout) {
      const isTold = said.includes('Waiting for the database')
      said += new TextDecoder().decode(bytes)
      if (!isTold && said.includes('Waiting for the database')) service.kill('SIGTERM')
    }
    expect(said).toContain('Kairan has stopped.')
    expect(said).not.toContain('Kairan is ready.')
    expect(await service.exited).toBe(0)
  } finally {
    service.kill('SIGKILL')
  }
})

test('start serves on the schema of a later version', async () => {
  const port = String(await freePort())
  const service = start({ DATABASE_URL: urlOf('kairan_test_new'), PORT: port })
  try {
    await eventually(() => isReady(`http://127.0.0.1:${port}`))
  } finally {
    service.kill('SIGKILL')
    await service.exited
  }
})

test('start waits for a server that is not there yet', async () => {
  const port = String(await freePort())
  await server.stop('fast')
  const service = start({ PORT: port })
  try {
    const reader = service.stdout.getReader()
    let said = ''
    while (!said.includes('Waiting for the database')) {
      said += new TextDecoder().decode((await reader.read()).value)
    }
    await server.start()
    await eventually(() => isReady(`http://127.0.0.1:${port}`))
  } finally {
    service.kill('SIGKILL')
    await service.exited
  }
})

test('no code asks for the name of an error, which is another one in the binary', async () => {
  const sources = [...new Bun.Glob('**/*.{ts,tsx}').scanSync('src')]
  const found = await Promise.all(
    sources.map(async path =>
      /\b(error|thrown|reason|cause|problem)\??\.(name\s*[!=]==|constructor\b)|constructor\.name/.test(
        await Bun.file(`src/${path}`).text(),
      )
        ? [path]
        : [],
    ),
  )
  // The browser's own errors have the names that browsers give them.
  expect(found.flat().filter(path => !path.startsWith('client/'))).toEqual([])
})
