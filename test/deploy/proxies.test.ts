/** Behind the proxies that people have, as Debian ships them: events at once, twenty tabs, and no event lost while draining. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { browser, type TestBrowser, withoutBrowser } from '../support/browser.ts'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/port.ts'
import { serve, tokenFor } from '../support/service.ts'

const nginx = ['/usr/sbin/nginx', Bun.which('nginx')].find(path => path && Bun.file(path).size > 0)
const caddy = Bun.which('caddy')
const isRequired = Boolean(process.env.CI)

/** A program that runs until the end of the scope, in a folder of its own. */
const run = async (command: (folder: string) => string[], files: Record<string, string>) => {
  const folder = await mkdtemp(join(tmpdir(), 'kairan-proxy-'))
  await chmod(folder, 0o755)
  for (const [name, text] of Object.entries(files)) await Bun.write(join(folder, name), text)
  const child = Bun.spawn(command(folder), {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { HOME: folder, PATH: process.env.PATH, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
  })
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await child.exited
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** nginx with nothing said but where to go on, and, to make it harder, with gzip for all. */
const nginxBefore = async (upstreams: number[]) => {
  const port = await freePort()
  const config = `
    daemon off; master_process off; pid nginx.pid; error_log stderr crit;
    events { }
    http {
      access_log off; gzip on; gzip_types *; gzip_min_length 0;
      client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
      upstream kairan { ${upstreams.map(upstream => `server 127.0.0.1:${upstream} fail_timeout=1s;`).join(' ')} }
      server { listen 127.0.0.1:${port}; location / { proxy_pass http://kairan; } }
    }`
  const proxy = await run(folder => [nginx ?? '', '-p', folder, '-c', 'nginx.conf'], {
    'nginx.conf': config,
  })
  const url = `http://127.0.0.1:${port}`
  await eventually(() =>
    fetch(url).then(
      () => true,
      () => false,
    ),
  )
  return { url, ...proxy }
}

/** Caddy with TLS of its own, so that browsers speak HTTP/2 with it. */
const caddyBefore = async (upstreams: number[]) => {
  const port = await freePort()
  const config = `{
  admin off
  auto_https disable_redirects
  skip_install_trust
}
https://localhost:${port} {
  bind 127.0.0.1
  tls internal
  reverse_proxy ${upstreams.map(upstream => `127.0.0.1:${upstream}`).join(' ')} {
    lb_try_duration 5s
    fail_duration 1s
    flush_interval -1
  }
}`
  const proxy = await run(
    folder => [caddy ?? '', 'run', '--adapter', 'caddyfile', '--config', join(folder, 'Caddyfile')],
    { Caddyfile: config },
  )
  const url = `https://localhost:${port}`
  await eventually(() =>
    fetch(url, { tls: { rejectUnauthorized: false } }).then(
      () => true,
      () => false,
    ),
  )
  return { url, ...proxy }
}

/** The host by which they reach the service, whatever they call it. */
const env = { ALLOWED_HOSTS: 'kairan', RETRY_MS: '50' }

describe.skipIf(!nginx && !isRequired)('nginx with its defaults', () => {
  test('brings events at once, and resumes over a drained instance', async () => {
    await using db = await database()
    await using one = await serve(db, env)
    const two = await serve(db, env)
    await using proxy = await nginxBefore([portOf(one.url), portOf(two.url)])
    const token = await tokenFor('42')
    const clients = await Promise.all(
      Array.from({ length: 6 }, () => openReady(proxy.url, { token })),
    )
    await db.sql`select kairan.publish('user-42', '{"n": 1}')`
    // Nothing follows that would push it out of a buffer.
    for (const client of clients) await client.atLeast(1)
    // nginx compresses what says no-transform, and sends each piece on all the same.
    expect(clients[0]?.response.headers.get('content-encoding')).toBe('gzip')

    await two[Symbol.asyncDispose]()
    const moved = await eventually(() => {
      const ended = clients.filter(client => client.ended)
      return ended.length > 0 && ended.every(c => c.controls.at(-1)?.type === 'reconnect')
        ? ended
        : null
    })
    await db.sql`select kairan.publish('user-42', '{"n": 2}')`
    for (const client of moved) {
      await using again = await openReady(proxy.url, {
        token,
        lastEventId: `${client.lastEventId}`,
      })
      expect((await again.atLeast(1)).map(({ payload }) => payload.n)).toEqual([2])
    }
    for (const client of clients) client.close()
  })
})

describe.skipIf((!caddy || withoutBrowser) && !isRequired)('Caddy with HTTP/2', () => {
  let chromium: TestBrowser
  beforeAll(async () => {
    chromium = await browser()
  })
  afterAll(() => chromium.close())

  test('twenty tabs of one browser get every event once, also while an instance drains', async () => {
    await using db = await database()
    await using one = await serve(db, env)
    const two = await serve(db, env)
    await using proxy = await caddyBefore([portOf(one.url), portOf(two.url)])
    const context = await chromium.newContext({ ignoreHTTPSErrors: true })
    await context.addCookies([
      { name: 'kairan_token', value: await tokenFor('42'), url: proxy.url },
    ])
    const tabs = await Promise.all(
      Array.from({ length: 20 }, () => openTab(context.newPage(), proxy.url)),
    )
    await eventually(() => one.service.streams + two.service.streams === 20)
    // More than the six that there are over HTTP/1.1.
    const [protocol] = await Promise.all(
      tabs.slice(0, 1).map(tab =>
        tab.evaluate(`
      performance.getEntriesByType('navigation')[0].nextHopProtocol`),
      ),
    )
    expect(protocol).toBe('h2')

    const upTo = async (n: number) => {
      for (const tab of tabs) await eventually(() => tab.evaluate(`seen.at(-1) === ${n}`))
    }
    await db.sql`select kairan.publish('user-42', '{"n": 1}')`
    await upTo(1)
    const draining = two[Symbol.asyncDispose]()
    for (let n = 2; n <= 20; n++)
      await db.sql`select kairan.publish('all-users', ${db.sql.json({ n })})`
    await draining
    await db.sql`select kairan.publish('user-42', '{"n": 21}')`
    await upTo(21)
    const all = Array.from({ length: 21 }, (_, index) => index + 1)
    for (const tab of tabs) expect(await tab.evaluate<number[]>('seen')).toEqual(all)
    await eventually(() => one.service.streams === 20)
    await context.close()
  })
})

const portOf = (url: string) => Number(new URL(url).port)

const openTab = async (opening: Promise<Page>, url: string) => {
  const page = await opening
  await page.goto(`${url}/livez`)
  await page.evaluate(`
    window.seen = []
    window.source = new EventSource('/notifications/stream')
    source.onmessage = ({ data }) => seen.push(JSON.parse(data).payload.n)
    void 0`)
  await eventually(() => page.evaluate('source.readyState === EventSource.OPEN'))
  return page
}
