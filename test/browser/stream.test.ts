import { expect, test } from 'bun:test'
import type { Page } from 'playwright-core'
import { browser, withoutBrowser } from '../support/browser.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/port.ts'
import { serve, tokenFor } from '../support/service.ts'

/** Opens the browser's own EventSource in a page of the service, and collects in `window.seen`. */
const listen = async (page: Page, url: string, user: string) => {
  await page.context().addCookies([{ name: 'kairan_token', value: await tokenFor(user), url }])
  await page.goto(`${url}/livez`)
  await page.evaluate(`
    window.seen = []
    window.states = []
    window.source = new EventSource('/notifications/stream')
    source.onmessage = ({ data, lastEventId }) => seen.push({ ...JSON.parse(data), lastEventId })
    source.addEventListener('control', ({ data }) => states.push(JSON.parse(data).type))
    source.onerror = () => states.push(['connecting', 'open', 'closed'][source.readyState])`)
  await waitFor(page, `states.includes('ready')`)
}

const waitFor = (page: Page, condition: string) => eventually(() => page.evaluate(condition))

const seen = (page: Page) => page.evaluate<{ payload: { n: number } }[]>('seen')

test.skipIf(withoutBrowser)(
  "a row that is inserted in Postgres reaches the browser's own EventSource",
  async () => {
    await using db = await database()
    await using service = await serve(db)
    await using chromium = await browser()
    const page = await chromium.newPage()
    await listen(page, service.url, '42')

    await db.sql`
      insert into kairan.notifications (channels, payload, type)
      values ('{user-42}', '{"text": "回覧 📮"}', 'greeting')`
    await waitFor(page, 'seen.length === 1')
    expect(await page.evaluate<unknown>('seen[0]')).toMatchObject({
      channel: 'user-42',
      payload: { text: '回覧 📮', metadata: { deliveryChannel: 'user-42' } },
      type: 'greeting',
      lastEventId: expect.stringMatching(/^[A-Za-z0-9-]{1,64}$/),
    })
    const row = await eventually(async () => {
      const [found] = await db.sql`select * from kairan.deliveries where status = 'delivered'`
      return found
    })
    expect(row).toMatchObject({ channel: 'user-42', recipients: 1 })
  },
)

test.skipIf(withoutBrowser)(
  'a browser comes back by itself after a restart, and gets what it missed, once',
  async () => {
    await using db = await database()
    await using chromium = await browser()
    const page = await chromium.newPage()
    const env = { PORT: String(await freePort()), RETRY_MS: '50' }
    const publish = (n: number) => db.sql`select kairan.publish('user-42', ${db.sql.json({ n })})`
    {
      await using service = await serve(db, env)
      await listen(page, service.url, '42')
      await publish(1)
      await waitFor(page, 'seen.length === 1')
    }
    await waitFor(page, `states.includes('connecting')`)
    await publish(2)
    await publish(3)
    await using _service = await serve(db, env)
    await waitFor(page, 'seen.length >= 3')
    await publish(4)
    await waitFor(page, 'seen.length >= 4')
    expect((await seen(page)).map(({ payload }) => payload.n)).toEqual([1, 2, 3, 4])
    expect(await page.evaluate<unknown>('states')).not.toContain('gap')
  },
)

test.skipIf(withoutBrowser)(
  'a browser that was cut off before its first event misses nothing either',
  async () => {
    await using db = await database()
    await using chromium = await browser()
    const page = await chromium.newPage()
    const env = { PORT: String(await freePort()), RETRY_MS: '50' }
    {
      await using service = await serve(db, env)
      await listen(page, service.url, '42')
    }
    await waitFor(page, `states.includes('connecting')`)
    // A broadcast would not be sent to a client that is new: only the id of `ready` brings it back.
    await db.sql`select kairan.publish('all-users', '{"n": 1}')`
    await using _service = await serve(db, env)
    await waitFor(page, 'seen.length === 1')
  },
)
