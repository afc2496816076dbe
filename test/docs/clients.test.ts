/**
 * The clients that people use, as docs/clients shows them, against a running service: open, events and named control
 * events, a cut, a restart, a refusal.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { browser, type TestBrowser, withoutBrowser } from '../support/browser.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/port.ts'
import { proxyTo } from '../support/proxy.ts'
import { tokenWith } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

type Heard = { events: { n: number; cursor: string }[]; controls: string[]; closed: boolean }

/** A client that has been told to listen, and what it has heard. */
type Listening = AsyncDisposable & { heard(): Promise<Heard> }

type Client = {
  listen(url: string, token: string): Promise<Listening>
  /** What it does when its token is refused: ends, or asks again and again. */
  whenRefused: 'ends' | 'returns'
  /** Whether it tells of `control` events. */
  hearsControls?: boolean
}

let chromium: TestBrowser
const scripts = new Map<string, string>()

beforeAll(async () => {
  if (withoutBrowser) return
  chromium = await browser()
  for (const name of [
    'docs/page.js',
    '../docs/clients/worker.js',
    '../docs/clients/shared-worker.js',
  ]) {
    const { outputs } = await Bun.build({
      entrypoints: [`${import.meta.dir}/../${name}`],
      target: 'browser',
    })
    scripts.set(`/${name.split('/').at(-1)}`, (await outputs[0]?.text()) ?? '')
  }
})
afterAll(() => chromium?.close())

/** In a page of the service's origin, as pages behind the same host are. */
const inPage =
  (name: string): Client['listen'] =>
  async (url, token) => {
    const context = await chromium.newContext()
    await context.addCookies([{ name: 'kairan_token', value: token, url }])
    const page = await context.newPage()
    await context.route(/\/(page|worker|shared-worker)\.js$|\/test-page$/, route => {
      const { pathname } = new URL(route.request().url())
      const body = scripts.get(pathname)
      return body === undefined
        ? route.fulfill({ contentType: 'text/html', body: '<!doctype html><body></body>' })
        : route.fulfill({ contentType: 'text/javascript', body })
    })
    await page.goto(`${url}/test-page`)
    if (name === 'htmx') {
      await page.addScriptTag({ path: Bun.resolveSync('htmx.org/dist/htmx.js', import.meta.dir) })
      await page.addScriptTag({
        path: Bun.resolveSync('htmx-ext-sse/dist/sse.js', import.meta.dir),
      })
    }
    await page.addScriptTag({ url: '/page.js', type: 'module' })
    const html = await Bun.file(`${import.meta.dir}/../../docs/clients/htmx.html`).text()
    await eventually(() => page.evaluate('window.start !== undefined'))
    await page.evaluate(
      `window.htmxPage = ${JSON.stringify(html)}; void window.start.${name}(${JSON.stringify(url)}, ${JSON.stringify(token)})`,
    )
    return {
      heard: () => page.evaluate<Heard>('window.heard'),
      [Symbol.asyncDispose]: () => context.close(),
    }
  }

/** In this process. */
const here =
  (name: string): Client['listen'] =>
  async (url, token) => {
    const { listen } = await import(`../../docs/clients/${name}.js`)
    const heard: Heard = { events: [], controls: [], closed: false }
    const stop: () => void = listen(url, () => token, {
      onEvent: (event: { payload: { n: number } }, cursor: string) =>
        heard.events.push({ n: event.payload.n, cursor }),
      onControl: (control: { type: string }) => heard.controls.push(control.type),
      onClosed: () => {
        heard.closed = true
      },
    })
    return { heard: async () => heard, [Symbol.asyncDispose]: async () => stop() }
  }

const shell: Client['listen'] = async (url, token) => {
  const script = `${import.meta.dir}/../../docs/clients/listen.sh`
  // A group of its own, so that curl ends with it.
  const child = Bun.spawn(['setsid', 'sh', script, url, token], { stdout: 'pipe' })
  const heard: Heard = { events: [], controls: [], closed: false }
  const read = async () => {
    let partial = ''
    const decoder = new TextDecoder()
    for await (const bytes of child.stdout) {
      const lines = (partial + decoder.decode(bytes, { stream: true })).split('\n')
      partial = lines.pop() ?? ''
      for (const line of lines) heard.events.push({ n: JSON.parse(line).payload.n, cursor: '' })
    }
  }
  void read()
  return {
    heard: async () => heard,
    async [Symbol.asyncDispose]() {
      process.kill(-child.pid, 'SIGKILL')
      await child.exited
    },
  }
}

const clients: Record<string, Client> = {
  'EventSource in a page': { listen: inPage('native'), whenRefused: 'ends' },
  'EventSource in a worker': { listen: inPage('worker'), whenRefused: 'ends' },
  'EventSource in a shared worker': { listen: inPage('sharedWorker'), whenRefused: 'ends' },
  'eventsource in a page': { listen: inPage('eventsource'), whenRefused: 'ends' },
  eventsource: { listen: here('eventsource'), whenRefused: 'ends' },
  'eventsource-client': { listen: here('eventsource-client'), whenRefused: 'ends' },
  'fetch-event-source': { listen: inPage('fetchEventSource'), whenRefused: 'ends' },
  'event-source-polyfill': { listen: inPage('eventSourcePolyfill'), whenRefused: 'ends' },
  'reconnecting-eventsource': { listen: inPage('reconnecting'), whenRefused: 'returns' },
  htmx: { listen: inPage('htmx'), whenRefused: 'returns' },
  curl: { listen: shell, whenRefused: 'returns', hearsControls: false },
}

const inBrowser = /page|worker|fetch|polyfill|reconnecting|htmx/

for (const [name, { listen, whenRefused, hearsControls = true }] of Object.entries(clients)) {
  test.skipIf(withoutBrowser && inBrowser.test(name))(
    `${name}: gets every event once, over a cut and a restart`,
    async () => {
      await using db = await database()
      const env = { PORT: String(await freePort()), RETRY_MS: '50' }
      let service = await serve(db, env)
      try {
        await using proxy = await proxyTo(Number(env.PORT))
        const url = `http://127.0.0.1:${proxy.port}`
        await using client = await listen(url, await tokenFor('42'))
        const publish = (n: number) =>
          db.sql`select kairan.publish('user-42', ${db.sql.json({ n })})`
        const upTo = async (n: number) => {
          const heard = await eventually(async () => {
            const found = await client.heard()
            return found.events.some(event => event.n === n) ? found : null
          })
          expect(heard.events.map(event => event.n)).toEqual(
            Array.from({ length: n }, (_, index) => index + 1),
          )
          return heard
        }
        await publish(1)
        const { controls } = await upTo(1)
        if (hearsControls) expect(controls).toEqual(['ready'])

        // The connection is cut, and events come while it is away.
        await publish(2)
        await upTo(2)
        proxy.reset()
        await publish(3)
        await publish(4)
        await upTo(4)

        // The service drains and ends; another one takes its place.
        await service[Symbol.asyncDispose]()
        await publish(5)
        service = await serve(db, env)
        await publish(6)
        await upTo(6)
        if (hearsControls) expect((await client.heard()).controls).toContain('reconnect')
      } finally {
        await service[Symbol.asyncDispose]()
      }
    },
  )

  test.skipIf(withoutBrowser && inBrowser.test(name))(
    `${name}: ${whenRefused} when its token is refused`,
    async () => {
      await using db = await database()
      await using service = await serve(db)
      await using proxy = await proxyTo(Number(new URL(service.url).port))
      let refused = 0
      await using counted = countRequests(proxy.port, () => refused++)
      await using client = await listen(counted.url, 'nonsense')
      if (whenRefused === 'ends') await eventually(async () => (await client.heard()).closed)
      else await eventually(() => refused >= 3)
      expect((await client.heard()).events).toEqual([])
      expect(service.service.streams).toBe(0)
    },
  )
}

/** Hands requests on, and counts those for the stream: a client may use one connection for many. */
const countRequests = (port: number, count: () => void) => {
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      const url = new URL(request.url)
      if (url.pathname === '/notifications/stream') count()
      return fetch(`http://127.0.0.1:${port}${url.pathname}${url.search}`, {
        headers: request.headers,
      })
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

test.skipIf(withoutBrowser)(
  "an EventSource carries channels besides its own, by its ready's streamId, also after a cut",
  async () => {
    await using db = await database()
    await using service = await serve(db, { RETRY_MS: '50' })
    const context = await chromium.newContext()
    const token = await tokenWith({ sub: '42', 'kairan:subscribe': ['run-*'] })
    await context.addCookies([{ name: 'kairan_token', value: token, url: service.url }])
    const page = await context.newPage()
    await page.goto(`${service.url}/livez`)
    const text = await Bun.file(`${import.meta.dir}/../../docs/clients/channels.js`).text()
    await page.evaluate(
      `
      const { listen } = await import('data:text/javascript,' + encodeURIComponent(${JSON.stringify(text)}))
      window.events = []; window.controls = []
      window.stream = listen(location.origin, {
        onEvent: ({ channel }) => events.push(channel), onControl: control => controls.push(control) })
      void 0`
        .replace(/^/, '(async () => {')
        .replace(/$/, '})()'),
    )
    const told = (last: object) =>
      eventually(async () => {
        const control = await page.evaluate<object>(
          'controls.findLast(({ type }) => type === "also") ?? {}',
        )
        return Bun.deepMatch(last, control)
      })
    await page.evaluate(`stream.carry(['run-a', 'org-9'])`)
    await told({ extra: ['run-a'], refused: ['org-9'] })
    await db.sql`select kairan.publish('{run-a,run-b,user-42}'::text[], '{}')`
    await eventually(async () => (await page.evaluate('events.length')) === 2)
    expect(await page.evaluate<unknown>('events')).toEqual(['run-a', 'user-42'])

    await page.evaluate('void (controls.length = 0)')
    await db.sql`select kairan.disconnect('42')`
    await told({ extra: ['run-a'], refused: ['org-9'] })
    await db.sql`select kairan.publish('run-a', '{}')`
    await eventually(async () => (await page.evaluate('events.length')) === 3)
    await page.evaluate('stream.carry([])')
    await told({ channels: [] })
    await db.sql`select kairan.publish('{run-a,user-42}'::text[], '{}')`
    await eventually(async () => (await page.evaluate('events.length')) === 4)
    expect(await page.evaluate<unknown>('events.at(-1)')).toBe('user-42')
    await context.close()
  },
)
