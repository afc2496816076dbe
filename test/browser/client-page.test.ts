import { expect, test } from 'bun:test'
import { serveApp } from '../support/app.ts'
import { browser, withoutBrowser } from '../support/browser.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'
import { openTab } from '../support/tab.ts'

test.skipIf(withoutBrowser)(
  'a page of the service imports /client.js, and needs nothing but its cookie',
  async () => {
    await using db = await database()
    await using service = await serve(db)
    await using chromium = await browser()
    const context = await chromium.newContext()
    const { url } = service
    await context.addCookies([{ name: 'kairan_token', value: await tokenFor('42'), url }])
    const page = await context.newPage()
    await page.goto(`${url}/livez`)
    await page.evaluate(`(async () => {
      const { createNotifications } = await import('/client.js')
      window.client = createNotifications()
      window.seen = []
      client.on('order.shipped', event => seen.push(event))
      window.looped = []
      for await (const { payload } of client) looped.push(payload)
    })().catch(error => { window.failed = error.message }), null`)
    await eventually(() => page.evaluate(`globalThis.client?.status === 'open'`))
    await db.sql`select kairan.publish('user-42', '{"orderId": 7}', 'order.shipped')`
    await db.sql`select kairan.publish('user-42', '{"orderId": 8}', 'order.lost')`
    await eventually(() => page.evaluate('looped.length === 2'))
    expect(await page.evaluate<unknown>('seen')).toEqual([
      {
        channel: 'user-42',
        payload: { orderId: 7, metadata: { deliveryChannel: 'user-42' } },
        id: expect.any(String),
        type: 'order.shipped',
        createdAt: expect.any(String),
        cursor: expect.stringMatching(/^[0-9a-z]+-1$/),
        replayed: false,
      },
    ])
    // Who is signed in no more is refused, and the client does not go on asking.
    await context.clearCookies()
    await db.sql`select kairan.disconnect('42')`
    await eventually(() => page.evaluate(`client.state.reason === 'revoked'`))
    await page.evaluate('client.connect()')
    await eventually(() =>
      page.evaluate(`client.state.reason === 'refused' && client.status === 'closed'`),
    )
    expect(await page.evaluate<unknown>('window.failed')).toBeUndefined()
  },
)

test.skipIf(withoutBrowser)(
  'a listener that throws is reported as any error of a page, and keeps nothing from the others',
  async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin })
    await using chromium = await browser()
    const tab = await openTab(await chromium.newContext(), app.url(service.url, '42'))
    const errors: string[] = []
    tab.page.on('pageerror', error => errors.push(error.message))
    await tab.page.evaluate(`
      client.on('broken', () => { throw new Error('of the app') })
      window.stop = client.on('broken', ({ payload }) => { window.broken = payload.n })`)
    await db.sql`select kairan.publish('user-42', '{"n": 1}', 'broken')`
    await tab.until('window.broken === 1')
    await tab.page.evaluate('stop()')
    await db.sql`select kairan.publish('user-42', '{"n": 2}', 'broken')`
    expect(await tab.numbers(2)).toEqual([1, 2])
    expect(await tab.page.evaluate<unknown>('window.broken')).toBe(1)
    await eventually(() => errors.length === 2)
    expect(errors).toEqual(['of the app', 'of the app'])
  },
)
