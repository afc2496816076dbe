/**
 * What web-platform-tests/eventsource asks of browsers, turned round: what this service sends, in Chromium and as
 * bytes. The names of the tests there are in brackets.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Page } from 'playwright-core'
import { browser, type TestBrowser, withoutBrowser } from '../support/browser.ts'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/port.ts'
import { proxyTo } from '../support/proxy.ts'
import { serve, tokenFor } from '../support/service.ts'

let chromium: TestBrowser
beforeAll(async () => {
  if (!withoutBrowser) chromium = await browser()
})
afterAll(() => chromium?.close())

/** A page of the service, signed in. */
const pageOf = async (url: string, origin = url) => {
  const context = await chromium.newContext()
  await context.addCookies([{ name: 'kairan_token', value: await tokenFor('42'), url }])
  const page = await context.newPage()
  await page.goto(`${origin}/livez`)
  return page
}

const listen = (page: Page, url: string, options = '{}') =>
  page.evaluate(`
    window.events = []
    window.states = []
    window.source = new EventSource('${url}/notifications/stream', ${options})
    const state = () => ['connecting', 'open', 'closed'][source.readyState]
    source.onopen = () => states.push(state())
    source.onerror = event => states.push('error: ' + state() + (event instanceof MessageEvent ? ' message' : ''))
    source.onmessage = ({ data, lastEventId }) => events.push({ ...JSON.parse(data), lastEventId })
    void 0`)

const states = (page: Page) => page.evaluate<string[]>('states')
const waitFor = (page: Page, condition: string) => eventually(() => page.evaluate(condition))

test('sends lines, ids and fields that every parser takes (format-*, id-null, retry-bogus)', async () => {
  await using db = await database()
  await using service = await serve(db, { HEARTBEAT_MS: '100' })
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  await db.sql`select kairan.publish('user-42', ${db.sql.json({ text: 'a\nb\r\nc\u2028' })})`
  await client.atLeast(1)
  await eventually(() => client.text.includes('\n:\n'))
  expect(client.text.charCodeAt(0)).not.toBe(0xfeff)
  expect(client.text).not.toMatch(/\r|\0/)
  for (const line of client.text.split('\n')) {
    expect(line).toMatch(
      /^(|:|retry: \d+|id: [A-Za-z0-9-]{1,64}|event: (ping|control)|data: [^\n]+)$/,
    )
  }
  const { headers } = client.response
  expect(headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  expect(headers.get('cache-control')).toContain('no-store')
  // request-accept: whoever asks for something else gets the stream all the same.
  await using html = await open(service.url, {
    token: await tokenFor('42'),
    headers: { accept: 'text/html' },
  })
  expect(html.response.status).toBe(200)
})

describe.skipIf(withoutBrowser)('in Chromium', () => {
  test('text comes as it was published (event-data, format-newlines, format-utf-8)', async () => {
    await using db = await database()
    await using service = await serve(db, { MAX_EVENT_BYTES: '2000000' })
    const page = await pageOf(service.url)
    await listen(page, service.url)
    await waitFor(page, `states.includes('open')`)
    const texts = [
      '',
      ' leading',
      ':colon',
      'a\nb\r\nc\rd',
      '\u2028\u2029',
      '📮回覧',
      'data: x\n\nid: 1',
      'x'.repeat(1e6),
    ]
    for (const text of texts)
      await db.sql`select kairan.publish('user-42', ${db.sql.json({ text })})`
    await waitFor(page, `events.length === ${texts.length}`)
    const got = await page.evaluate<string[]>('events.map(({ payload }) => payload.text)')
    expect(got).toEqual(texts)
    await page.context().close()
  })

  test('heartbeats fire nothing and keep the id (format-comments, format-field-id-2)', async () => {
    await using db = await database()
    await using service = await serve(db, { HEARTBEAT_MS: '100' })
    await using proxy = await proxyTo(Number(new URL(service.url).port))
    const url = `http://127.0.0.1:${proxy.port}`
    let heartbeats = 0
    const page = await pageOf(url)
    await listen(page, url)
    await waitFor(page, `states.includes('open')`)
    await db.sql`select kairan.publish('user-42', '{"n": 1}')`
    await waitFor(page, 'events.length === 1')
    // Another stream shows that heartbeats came.
    await using watcher = await openReady(service.url, { token: await tokenFor('42') })
    heartbeats = (await eventually(() => watcher.text.match(/^:$/gm)))?.length ?? 0
    expect(heartbeats).toBeGreaterThan(0)
    expect(await states(page)).toEqual(['open'])
    await db.sql`select kairan.publish('user-42', '{"n": 2}')`
    await waitFor(page, 'events.length === 2')
    await page.context().close()
  })

  test('goes from open to connecting to open over a restart (eventsource-reconnect, readyState)', async () => {
    await using db = await database()
    const env = { PORT: String(await freePort()), RETRY_MS: '50' }
    const service = await serve(db, env)
    const page = await pageOf(service.url)
    await listen(page, service.url)
    await waitFor(page, `states.includes('open')`)
    await service[Symbol.asyncDispose]()
    await waitFor(page, `states.includes('error: connecting')`)
    await using _again = await serve(db, env)
    await waitFor(page, `states.lastIndexOf('open') > 0`)
    expect(new Set(await states(page))).toEqual(new Set(['open', 'error: connecting']))
    await page.context().close()
  })

  test('a refusal for good closes, one for now does not (request-status-error)', async () => {
    await using db = await database()
    await using full = await serve(db, { MAX_STREAMS: '1', RETRY_MS: '50' })
    await using _first = await openReady(full.url, { token: await tokenFor('1') })
    const page = await pageOf(full.url)
    await listen(page, full.url)
    await waitFor(page, `states.includes('error: connecting')`)
    await page.context().clearCookies()
    await listen(page, full.url, '{}')
    // Signed out: with a place, it is 401.
    _first.close()
    await waitFor(page, `states.includes('error: closed')`)
    // A plain event, not one with data.
    expect((await states(page)).filter(state => state.includes('message'))).toEqual([])
    await page.context().close()
  })

  test('pages of CORS_ORIGINS come in with the cookie, others do not (cors-cookie, cross-origin)', async () => {
    await using db = await database()
    await using elsewhere = await serve(db)
    const [, port] = elsewhere.url.split('127.0.0.1:')
    const origin = `http://localhost:${port}`
    await using service = await serve(db, { CORS_ORIGINS: origin })
    const outcome = async (from: string, options: string) => {
      const page = await pageOf(service.url, from)
      await listen(page, service.url, options)
      const [state] = await eventually(async () => {
        const found = await states(page)
        return found.length > 0 ? found : null
      })
      await page.context().close()
      return state
    }
    // The cookie is sent to the same site only, and localhost is another one than 127.0.0.1: so 401, readable.
    expect(await outcome(origin, '{ withCredentials: true }')).toBe('error: closed')
    expect(await outcome(elsewhere.url, '{ withCredentials: true }')).toBe('error: closed')
    expect(await outcome(service.url, '{}')).toBe('open')
  })

  test('a reconnect across origins needs no preflight, as its ids are safe (cross-origin-preflight)', async () => {
    await using db = await database()
    await using home = await serve(db)
    await using service = await serve(db, { CORS_ORIGINS: home.url, RETRY_MS: '50' })
    await using proxy = await proxyTo(Number(new URL(service.url).port))
    let asked = ''
    proxy.rewrite = bytes => {
      asked += bytes.toString('latin1')
      return bytes
    }
    const page = await pageOf(home.url)
    // The host is the same one, so its cookie goes along.
    await listen(page, `http://127.0.0.1:${proxy.port}`, '{ withCredentials: true }')
    await waitFor(page, `states.includes('open')`)
    await db.sql`select kairan.publish('user-42', '{}')`
    await waitFor(page, 'events.length === 1')
    proxy.reset()
    await waitFor(page, `states.lastIndexOf('open') > 0`)
    expect(asked.match(/^(GET|OPTIONS) /gm)).toEqual(['GET ', 'GET '])
    expect(asked).toMatch(/^Last-Event-ID: [A-Za-z0-9-]{1,128}\r$/im)
    await page.context().close()
  })

  test('follows a redirect to the stream (request-redirect, eventsource-url)', async () => {
    await using db = await database()
    let target = ''
    const redirect = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: request =>
        request.url.endsWith('/livez') ? new Response('') : Response.redirect(target, 307),
    })
    const origin = `http://127.0.0.1:${redirect.port}`
    await using service = await serve(db, { CORS_ORIGINS: origin })
    target = `${service.url}/notifications/stream`
    try {
      const page = await pageOf(service.url, origin)
      await listen(page, '', '{ withCredentials: true }')
      await waitFor(page, `states.includes('open')`)
      expect(service.service.streams).toBe(1)
      await page.context().close()
    } finally {
      await redirect.stop(true)
    }
  })

  test('a page that goes frees its place, and has it again when it is back (request-cancellation, bfcache)', async () => {
    await using db = await database()
    await using service = await serve(db)
    const page = await pageOf(service.url)
    const connect = `
      window.source = new EventSource('/notifications/stream')
      void 0`
    await page.evaluate(connect)
    await eventually(() => service.service.streams === 1)
    await page.evaluate('window.stop()')
    await page.goto(`${service.url}/readyz`)
    await eventually(() => service.service.streams === 0)
    await page.goBack()
    // Restored as it was, its EventSource reconnects by itself; loaded anew, it is made anew.
    await page.evaluate(`if (!window.source) { ${connect} }`)
    await eventually(() => service.service.streams === 1)
    await page.evaluate('source.close()')
    await eventually(() => service.service.streams === 0)
    await page.context().close()
  })
})
