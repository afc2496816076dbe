import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Binary, compile, fromSource } from './support/binary.ts'
import { openReady } from './support/client.ts'
import { collector } from './support/collector.ts'
import { database } from './support/database.ts'
import { eventually } from './support/eventually.ts'
import { freePort } from './support/port.ts'
import { isReady } from './support/process.ts'
import { secret, tokenFor } from './support/service.ts'

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

test('shows the settings without their secrets, the version, and help', async () => {
  const text = async (command: string, env = {}) => {
    const process = run([compiled.path, command], env)
    expect(await process.exited).toBe(0)
    return new Response(process.stdout).text()
  }
  const DATABASE_URL = 'postgres://kairan:hidden-one@db.test/kairan'
  const settings = await text('config', { DATABASE_URL, JWT_SECRET: secret, RETENTION: '2d' })
  expect(settings).toContain('RETENTION_MS=172800000\n')
  expect(settings).toContain('postgres://kairan:••••@db.test/kairan')
  expect(settings).not.toMatch(/hidden-one|a-secret-of/)
  expect(await text('--version')).toMatch(/^\d+\.\d+\.\d+\n$/)
  expect(await text('--help')).toStartWith('Usage: kairan <command>')
})

test('the compiled binary migrates, serves, is healthy, delivers, and drains on SIGTERM', async () => {
  await using db = await database()
  const migrating = run([compiled.path, 'migrate'], { DATABASE_URL: db.url })
  expect(await migrating.exited).toBe(0)
  expect(await new Response(migrating.stdout).text()).toStartWith('Applied: 1 schema')

  const port = String(await freePort())
  await using otlp = collector()
  const env = {
    ...{ DATABASE_URL: db.url, JWT_SECRET: secret, PORT: port, DRAIN_MS: '0' },
    OTEL_EXPORTER_OTLP_ENDPOINT: otlp.url,
  }
  const healthy = async () =>
    (await run([compiled.path, 'healthcheck'], { PORT: port }).exited) === 0
  expect(await healthy()).toBe(false)
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
    // What was handed over is written before the process ends.
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

test('a second signal ends a draining service at once', async () => {
  await using db = await database()
  const port = String(await freePort())
  const env = { DATABASE_URL: db.url, JWT_SECRET: secret, PORT: port, DRAIN_MS: '3600000' }
  const service = run([...fromSource, 'start'], env)
  try {
    const url = `http://127.0.0.1:${port}`
    await eventually(() => isReady(url))
    await using _client = await openReady(url, { token: await tokenFor('42') })
    service.kill('SIGTERM')
    await eventually(() => fetch(`${url}/readyz`).then(({ status }) => status === 503))
    service.kill('SIGTERM')
    expect(await service.exited).toBe(130)
  } finally {
    service.kill('SIGKILL')
  }
})
