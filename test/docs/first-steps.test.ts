/** "First steps" of docs/operating.md, done as they stand there, by the program and on a Postgres of its own. */
import { expect, test } from 'bun:test'
import postgres from 'postgres'
import { fromSource } from '../support/binary.ts'
import { openReady } from '../support/client.ts'
import { cluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { pageBlocks } from '../support/page-blocks.ts'
import { freePort } from '../support/port.ts'
import { secret } from '../support/service.ts'

test('the first steps of the page lead to a service with the least rights, and into its dashboard', async () => {
  await using server = await cluster()
  const urlOf = (username: string) =>
    Object.assign(new URL(server.url), { pathname: '/shop', username, password: 'of-the-tests' })
      .href
  const sql = async (url: string, text: string) => {
    const client = postgres(url, { max: 1 })
    await client.unsafe(text).finally(() => client.end())
  }
  const env = { JWT_SECRET: secret, PORT: String(await freePort()), DRAIN_MS: '0' }
  const kairan = (login: string, ...command: string[]) =>
    Bun.spawn([...fromSource, ...command], {
      env: { ...env, DATABASE_URL: urlOf(login) },
      stdout: 'pipe',
      stderr: 'inherit',
    })
  const said = async (login: string, ...command: string[]) => {
    const child = kairan(login, ...command)
    const text = await new Response(child.stdout).text()
    expect({ command, code: await child.exited }).toEqual({ command, code: 0 })
    return text.trim()
  }
  const blocks = await pageBlocks('sql')
  const [logins, grants, ...more] = blocks.filter(({ page }) => page === 'docs/operating.md')
  expect(more).toEqual([])

  await sql(server.url, 'create database shop')
  const superuser = Object.assign(new URL(server.url), { pathname: '/shop' }).href
  await sql(
    superuser,
    `${logins?.text.replaceAll('…', 'of-the-tests')}; create role shop_app login password 'of-the-tests'`,
  )
  await said('kairan_admin', 'migrate')
  await sql(urlOf('kairan_admin'), grants?.text ?? '')

  const service = kairan('kairan_login', 'start')
  try {
    await eventually(async () => (await kairan('kairan_login', 'healthcheck').exited) === 0)
    const url = `http://127.0.0.1:${env.PORT}`
    await said('kairan_admin', 'role', '42', '100')
    const token = await said('kairan_admin', 'token', '--sub', '42')
    const me = await fetch(`${url}/admin/me`, { headers: { authorization: `Bearer ${token}` } })
    expect(me.status).toBe(200)
    await using client = await openReady(url, { token })
    await sql(
      urlOf('shop_app'),
      `select kairan.publish('user-42', '{}'); select status from kairan.deliveries`,
    )
    await client.atLeast(1)
  } finally {
    service.kill('SIGTERM')
    await service.exited
  }
})
