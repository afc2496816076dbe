import { expect, test } from 'bun:test'
import { browser, withoutBrowser } from '../support/browser.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { proxyTo } from '../support/proxy.ts'
import { serve } from '../support/service.ts'
import { ticketFor } from '../support/tickets.ts'

test.skipIf(withoutBrowser)(
  "the browser's own EventSource returns with a spent ticket, from another site, without cookies",
  async () => {
    await using db = await database()
    // For a browser, localhost and 127.0.0.1 are two sites.
    using app = Bun.serve({
      hostname: 'localhost',
      port: 0,
      fetch: () => new Response('<title>App</title>', { headers: { 'content-type': 'text/html' } }),
    })
    const origin = `http://localhost:${app.port}`
    await using service = await serve(db, { CORS_ORIGINS: origin, RETRY_MS: '50' })
    await using proxy = await proxyTo(Number(new URL(service.url).port))
    await using chromium = await browser()
    const page = await chromium.newPage()
    await page.goto(origin)
    const ticket = await ticketFor(service.url, '42')
    const stream = `http://127.0.0.1:${proxy.port}/notifications/stream?ticket=${ticket}`
    const publish = (n: number) => db.sql`select kairan.publish('user-42', ${db.sql.json({ n })})`

    await page.evaluate(`
      window.seen = []
      window.states = []
      window.source = new EventSource('${stream}')
      source.onmessage = ({ data }) => seen.push(JSON.parse(data).payload.n)
      source.addEventListener('control', ({ data }) => states.push(JSON.parse(data).type))
      source.onerror = () => states.push(['connecting', 'open', 'closed'][source.readyState])`)
    const waitFor = (condition: string) => eventually(() => page.evaluate(condition))
    await waitFor(`states.includes('ready')`)

    await publish(1)
    await waitFor('seen.length === 1')
    for (const n of [2, 3]) {
      // Nothing can reach it in between: what it has, it has asked for with its cursor.
      proxy.cut()
      await publish(n)
      proxy.reset()
      proxy.heal()
      await waitFor(`seen.length === ${n}`)
    }
    expect(await page.evaluate<unknown>('seen')).toEqual([1, 2, 3])
    expect(await page.evaluate<unknown>('states')).toEqual([
      ...['ready', 'connecting', 'ready', 'connecting', 'ready'],
    ])
    expect(await page.context().cookies()).toEqual([])

    // The same URL in another browser, as from a log, opens nothing.
    const thief = await (await chromium.newContext()).newPage()
    await thief.goto(origin)
    await thief.evaluate(`
      window.states = []
      window.source = new EventSource('${stream}')
      source.onerror = () => states.push(source.readyState)`)
    await eventually(() => thief.evaluate('states.length > 0'))
    expect(await thief.evaluate<unknown>('states')).toEqual([2])
  },
)
