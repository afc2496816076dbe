import { expect, test } from 'bun:test'
import { serveApp } from '../support/app.ts'
import { browser, withoutBrowser } from '../support/browser.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'

test.skipIf(withoutBrowser)(
  "React's components follow the state, and hear each event once while they are mounted",
  async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '50' })
    await using chromium = await browser()
    const page = await chromium.newPage()
    const complaints: string[] = []
    page.on('console', message => message.type() === 'error' && complaints.push(message.text()))
    page.on('pageerror', error => complaints.push(error.message))
    await page.goto(
      `${app.origin}/react?${new URLSearchParams({ service: service.url, user: '42' })}`,
    )
    const ship = (orderId: number) =>
      db.sql`select kairan.publish('user-42', ${db.sql.json({ orderId })}, 'order.shipped')`
    const status = page.getByRole('status')
    const orders = page.locator('#orders')

    await status.getByText('open, some unread').waitFor()
    await ship(7)
    await orders.getByText('7').waitFor()
    await db.sql`select kairan.publish('user-42', '{"orderId": 1}', 'order.lost')`
    await ship(8)
    await eventually(async () => (await orders.textContent()) === '7, 8')

    await page.getByRole('button').click()
    await eventually(async () => (await orders.count()) === 0)
    await ship(9)
    await page.getByRole('button').click()
    await orders.waitFor({ state: 'attached' })
    await ship(10)
    await eventually(async () => (await orders.textContent())?.endsWith('10'))
    expect(complaints).toEqual([])

    await db.sql`select kairan.disconnect('42')`
    await status.getByText('closed').waitFor()
  },
)

test.skipIf(withoutBrowser)(
  "React's inbox shows the newest, what comes, older ones, and what another device marks",
  async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '50' })
    await using chromium = await browser()
    const ship = (orderId: number) =>
      db.sql`select kairan.publish('user-42', ${db.sql.json({ orderId })}, 'order.shipped')`
    for (const orderId of [1, 2, 3]) await ship(orderId)
    const query = new URLSearchParams({ service: service.url, user: '42', inbox: '' })
    const open = async () => {
      const page = await chromium.newPage()
      await page.goto(`${app.origin}/react?${query}`)
      const shows = async (text: string) => {
        const isShown = async () => (await page.locator('#list').textContent()) === text
        await eventually(isShown).catch(async () => {
          expect(await page.locator('#list').textContent()).toBe(text)
        })
      }
      return { page, shows }
    }
    const [first, second] = [await open(), await open()]
    await first.shows('ready 3: 3* 2* …')
    await second.shows('ready 3: 3* 2* …')
    await ship(4)
    await first.shows('ready 4: 4* 3* 2* …')
    await second.shows('ready 4: 4* 3* 2* …')
    await first.page.click('#more')
    await first.shows('ready 4: 4* 3* 2* 1*')
    await first.page.click('#read')
    await first.shows('ready 0: 4 3 2 1')
    await second.shows('ready 0: 4 3 2 …')

    // What came and was marked while it was away: the older ones stay.
    await second.page.context().setOffline(true)
    await ship(5)
    // The button marks what is shown.
    await first.shows('ready 1: 5* 4 3 2 1')
    await first.page.click('#read')
    await first.shows('ready 0: 5 4 3 2 1')
    await second.page.context().setOffline(false)
    await second.shows('ready 0: 5 4 3 2 …')
  },
)

test.skipIf(withoutBrowser)(
  'React listens to a channel while it is mounted, and to another',
  async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '50' })
    await using chromium = await browser()
    const page = await chromium.newPage()
    const query = new URLSearchParams({ service: service.url, user: '42', run: '' })
    await page.goto(`${app.origin}/react?${query}`)
    const carried = (name: string) =>
      eventually(async () => {
        const rows = await db.sql<{ channels: string[] }[]>`select channels from kairan.streams`
        const runs = rows.flatMap(({ channels }) => channels).filter(one => one.startsWith('run-'))
        return runs.join() === name
      })
    const step = (orderId: number) =>
      db.sql`select kairan.publish('{run-1,run-2}'::text[], ${db.sql.json({ orderId })})`
    await carried('run-1')
    await step(1)
    await page.locator('#steps').getByText('run-1 1', { exact: true }).waitFor()
    await page.click('#run-2')
    await carried('run-2')
    await step(2)
    await page.locator('#steps').getByText('run-1 1, run-2 2', { exact: true }).waitFor()
    await page.click('#org-9')
    await page.locator('#steps').getByText('run-1 1, run-2 2, org-9 refused').waitFor()
  },
)
