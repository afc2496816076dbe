import { afterAll, beforeAll, expect, test } from 'bun:test'
import { decodeJwt } from 'jose'
import { type Binary, compile, fromSource } from './support/binary.ts'
import { openReady } from './support/client.ts'
import { collector } from './support/collector.ts'
import { database, type TestDatabase } from './support/database.ts'
import { eventually } from './support/eventually.ts'
import { freePort } from './support/port.ts'
import { isReady } from './support/process.ts'
import { publish } from './support/publish.ts'
import { secret, serve, tokenFor } from './support/service.ts'

let compiled: Binary
beforeAll(async () => {
  compiled = await compile()
})
afterAll(() => compiled.remove())

/** Runs it without any setting but these, away from the source. */
const run = (command: string[], env: Record<string, string> = {}) =>
  Bun.spawn(command, { cwd: compiled.folder, env, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })

test('start refuses wrong settings with 78 and one message that names each', async () => {
  for (const command of [fromSource, [compiled.path]]) {
    const process = run([...command, 'start'], { JWT_SECRET: 'weak', PORT: 'x' })
    expect(await process.exited).toBe(78)
    const message = await new Response(process.stderr).text()
    for (const name of ['DATABASE_URL', 'JWT_SECRET', 'PORT']) expect(message).toContain(name)
    expect(message).not.toContain('weak')
  }
})

test('an unknown command gets the usage and 64', async () => {
  const process = run([...fromSource, 'sevre'])
  expect(await process.exited).toBe(64)
  expect(await new Response(process.stderr).text()).toStartWith('Usage: kairan <command>')
})

test('each command says how it is used, and refuses options that it does not have', async () => {
  const said = async (...command: string[]) => {
    const process = run([...fromSource, ...command])
    const [code, output, errors] = await Promise.all([
      process.exited,
      new Response(process.stdout).text(),
      new Response(process.stderr).text(),
    ])
    return { code, output, errors }
  }
  const { output } = await said('-h')
  const commands = [...output.matchAll(/^ {2}([a-z]+) {2}/gm)].map(([, name = '']) => name)
  expect(commands).toContain('healthcheck')
  for (const command of commands) {
    const { code, output } = await said(command, '--help')
    expect({ command, code, output }).toMatchObject({
      code: 0,
      output: expect.stringContaining(`Usage: kairan ${command}`),
    })
    expect(await said('help', command)).toEqual({ code, output, errors: '' })
  }
  for (const [command, option] of [
    ['start', '--port'],
    ['migrate', '--dry-run'],
    ['config', 'all'],
  ] as const) {
    const { code, errors } = await said(command, option)
    expect(code).toBe(64)
    expect(errors).toContain(`${command} has no option "${option}"`)
  }
})

test('a setting that is missing because its name is mistyped is named with the one that is meant', async () => {
  const process = run([...fromSource, 'migrate'], { DATABASEURL: 'postgres://a@b.test/c' })
  expect(await process.exited).toBe(78)
  const message = await new Response(process.stderr).text()
  expect(message).toContain('DATABASE_URL is missing')
  expect(message).toContain(
    "DATABASEURL is no setting of Kairan's, and is ignored. Is DATABASE_URL meant?",
  )
})

test('shows the settings without their secrets, the version, and help', async () => {
  const text = async (command: string, env = {}) => {
    const process = run([compiled.path, command], env)
    expect(await process.exited).toBe(0)
    return new Response(process.stdout).text()
  }
  const DATABASE_URL = 'postgres://kairan:hidden-one@db.test/kairan'
  const settings = await text('config', { DATABASE_URL, JWT_SECRET: secret, RETENTION: '2d' })
  expect(settings).toContain('\nRETENTION=2d\n')
  expect(settings).toContain('postgres://kairan:••••@db.test/kairan')
  expect(settings).not.toMatch(/hidden-one|a-secret-of/)
  const mistyped = run([...fromSource, 'config'], {
    DATABASE_URL,
    JWT_SECRET: secret,
    JWT_SECRETS: 'x',
  })
  expect(await new Response(mistyped.stderr).text()).toBe(
    "JWT_SECRETS is no setting of Kairan's, and is ignored. Is JWT_SECRET meant?\n",
  )
  expect(await text('--version')).toMatch(/^\d+\.\d+\.\d+\n$/)
  expect(await text('--help')).toStartWith('Usage: kairan <command>')
})

test('token prints a token that the service takes, and role lets its user into the dashboard', async () => {
  await using db = await database()
  await using service = await serve(db)
  const env = {
    DATABASE_URL: db.url,
    JWT_SECRET: `${secret},another-secret-of-the-tests-0123456789`,
  }
  const text = async (...command: string[]) => {
    const process = run([compiled.path, ...command], env)
    expect(await process.exited).toBe(0)
    return (await new Response(process.stdout).text()).trim()
  }
  const token = await text('token', '--sub', '42', '--scope', 'kairan:publish', '--expires', '5m')
  const { exp = 0, ...claims } = decodeJwt(token)
  expect(claims).toMatchObject({ sub: '42', scope: 'kairan:publish' })
  expect(Math.abs(exp - Date.now() / 1000 - 300)).toBeLessThan(60)
  const { status } = await publish(service.url, { channel: 'user-42', payload: {} }, { token })
  expect(status).toBe(201)
  expect(
    decodeJwt(await text('token', '--sub', '42', '--claim', 'kairan:channels=["user-*"]')),
  ).toMatchObject({ 'kairan:channels': ['user-*'] })

  const me = () =>
    fetch(`${service.url}/admin/me`, { headers: { authorization: `Bearer ${token}` } })
  expect((await me()).status).toBe(403)
  expect(await text('role', '42', '100')).toBe('The role level of 42 is 100.')
  await eventually(async () => (await me()).status === 200)
})

test('token and role say what is wrong with their options', async () => {
  for (const [command, words] of [
    [['token'], '--sub'],
    [['token', '--sub', 'a b'], '--sub'],
    [['token', '--sub', '42', '--expires', 'soon'], 'soon'],
    [['token', '--sub', '42', '--claim', 'name=text'], 'name=text'],
    [['token', '--sub', '42', '--claim', 'exp=1'], '--expires'],
    [['token', '--sub', '42', '--user', '1'], '--user'],
    [['role'], 'kairan role 42 100'],
    [['role', '42', 'high'], 'high'],
    [['role', '42', '1', '2'], 'kairan role 42 100'],
  ] as const) {
    const process = run([compiled.path, ...command], {
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
      JWT_SECRET: secret,
    })
    expect(await process.exited).toBe(1)
    expect(await new Response(process.stderr).text()).toContain(words)
  }
  const missing = run([compiled.path, 'token', '--sub', '42'])
  expect(await missing.exited).toBe(78)
  expect(await new Response(missing.stderr).text()).toContain('JWT_SECRET')
})

test('the compiled binary migrates, serves, is healthy, delivers, and drains on SIGTERM', async () => {
  await using db = await database({ empty: true })
  const migrating = run([compiled.path, 'migrate'], { DATABASE_URL: db.url })
  expect(await migrating.exited).toBe(0)
  expect(await new Response(migrating.stdout).text()).toStartWith('Applied: 1 schema')

  const port = String(await freePort())
  await using otlp = collector()
  const env = {
    ...{ DATABASE_URL: db.url, JWT_SECRET: secret, PORT: port, DRAIN_MS: '0' },
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: otlp.url, MAX_STREAM: '5' },
  }
  const healthy = async () =>
    (await run([compiled.path, 'healthcheck'], { PORT: port }).exited) === 0
  expect(await healthy()).toBe(false)
  const unhealthy = run([compiled.path, 'healthcheck'], { PORT: port })
  expect(await new Response(unhealthy.stderr).text()).toContain(
    `127.0.0.1:${port}/readyz does not answer`,
  )
  const service = run([compiled.path, 'start'], env)
  try {
    await eventually(healthy)
    await using client = await openReady(`http://127.0.0.1:${port}`, {
      token: await tokenFor('42'),
    })
    const traceparent = `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`
    await db.sql`
      insert into kairan.notifications (channels, payload, traceparent)
      values ('{user-42}', '{}', ${traceparent})`
    await client.atLeast(1)
    // These were bundled when the binary was compiled: there is no source here.
    const text = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text()
    expect(await text('/client.js')).toContain('createNotifications')
    expect(await text('/dashboard')).toContain('dashboard.js')
    expect(await text('/dashboard.js')).toContain('Users online')
    expect(await text('/dashboard.css')).toContain('.uplot')
    expect(JSON.parse(await text('/openapi.json')).openapi).toStartWith('3.2')
    expect(await text('/metrics')).toContain('kairan_streams 1')

    service.kill('SIGTERM')
    await client.control('reconnect')
    expect(await service.exited).toBe(0)
    expect(await new Response(service.stdout).text()).toContain('Is MAX_STREAMS meant?')
    // What streams took is written before the process ends.
    const [row] = await db.sql`select status from kairan.deliveries`
    expect(row?.status).toBe('delivered')
    expect(otlp.spans.map(({ name }) => name).toSorted()).toEqual([
      'kairan.deliver',
      'kairan.dispatch',
    ])
  } finally {
    service.kill('SIGKILL')
  }
})

/** The service in a process of its own, until the end of the scope. */
const startService = async ({ url: DATABASE_URL }: TestDatabase, DRAIN_MS: string) => {
  const port = String(await freePort())
  const env = { DATABASE_URL, JWT_SECRET: secret, PORT: port, DRAIN_MS }
  const service = run([...fromSource, 'start'], env)
  return {
    service,
    url: `http://127.0.0.1:${port}`,
    [Symbol.dispose]: () => service.kill('SIGKILL'),
  }
}

test('a signal that a wrapper passes on to whom its group has sent it drains all the same', async () => {
  await using db = await database({ empty: true })
  using started = await startService(db, '500')
  const { service, url } = started
  await eventually(() => isReady(url))
  await using client = await openReady(url, { token: await tokenFor('42') })
  service.kill('SIGTERM')
  service.kill('SIGINT')
  expect(await client.control('reconnect')).toMatchObject({ reason: 'draining' })
  expect(await service.exited).toBe(0)
})

test('a second signal ends a draining service at once', async () => {
  await using db = await database({ empty: true })
  using started = await startService(db, '3600000')
  const { service, url } = started
  await eventually(() => isReady(url))
  await using _client = await openReady(url, { token: await tokenFor('42') })
  service.kill('SIGTERM')
  await eventually(() => fetch(`${url}/readyz`).then(({ status }) => status === 503))
  // Soon after the first one it may be the same, which somebody has passed on.
  await eventually(() => service.exitCode !== null || service.kill('SIGTERM'))
  expect(await service.exited).toBe(130)
})
