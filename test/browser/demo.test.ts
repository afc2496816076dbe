import { expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import { browser, withoutBrowser } from '../support/browser.ts'
import { database } from '../support/database.ts'
import { serve } from '../support/service.ts'

/** Opens the demo page as someone on a device of their own, and collects what the console complains of. */
const openDemo = async (chromium: Browser, url: string, name: string) => {
  const context = await chromium.newContext({ viewport: { width: 360, height: 740 } })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', message => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  page.on('pageerror', error => complaints.push(error.message))
  await page.goto(url)
  await page.getByRole('button', { name }).click()
  await page.getByRole('status').getByText('live').waitFor()
  return { page, complaints }
}

const publish = async (page: Page, channel: string, payload: string) => {
  await page.getByLabel('Channel').selectOption(channel)
  await page.getByLabel('Payload').fill(payload)
  await page.getByRole('button', { name: 'Publish' }).click()
}

test.skipIf(withoutBrowser)(
  'what one demo user publishes waits for the other, arrives, and is delivered',
  async () => {
    await using db = await database()
    await using service = await serve(db, {}, { demo: true })
    await using chromium = await browser()
    const aiko = await openDemo(chromium, service.url, 'Aiko')

    await publish(aiko.page, 'user-2', '{"text": "Hello <b>Ben</b>"}')
    await aiko.page.locator('[data-status=pending]').waitFor()
    await aiko.page.getByText('Sign in as Ben').waitFor()

    const ben = await openDemo(chromium, service.url, 'Ben')
    await ben.page.locator('#events').getByText('Hello <b>Ben</b>').waitFor()
    await aiko.page.locator('[data-status=delivered]').waitFor()
    await aiko.page.getByText('to 1 stream').waitFor()

    await publish(aiko.page, 'all-users', '{"text": "To everyone"}')
    for (const { page } of [aiko, ben]) {
      await page.locator('#events').getByText('To everyone').waitFor()
    }
    for (const { page, complaints } of [aiko, ben]) {
      expect(complaints).toEqual([])
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
    }
  },
)

test.skipIf(withoutBrowser)('the admin alone gets what is published for admins', async () => {
  await using db = await database()
  await using service = await serve(db, {}, { demo: true })
  await using chromium = await browser()
  const chidi = await openDemo(chromium, service.url, 'Chidi')
  const ben = await openDemo(chromium, service.url, 'Ben')

  await publish(ben.page, 'admin-dashboard', '{"text": "For admins"}')
  await chidi.page.locator('#events').getByText('For admins').waitFor()
  await publish(ben.page, 'all-users', '{"text": "For everyone"}')
  await ben.page.locator('#events').getByText('For everyone').waitFor()
  expect(await ben.page.locator('#events').getByText('For admins').count()).toBe(0)
})

test.skipIf(withoutBrowser)(
  'shows what Postgres says of a payload that can not be sent',
  async () => {
    await using db = await database()
    await using service = await serve(db, {}, { demo: true })
    await using chromium = await browser()
    const { page } = await openDemo(chromium, service.url, 'Aiko')

    await publish(page, 'user-1', '[1]')
    await page
      .getByRole('alert')
      .getByText('the payload is not a JSON object but array: [1]')
      .waitFor()
    await publish(page, 'user-1', '{')
    await page.getByRole('alert').getByText('The payload is not JSON.').waitFor()
    await publish(page, 'user-1', '{}')
    await page.locator('[data-status=delivered]').waitFor()
  },
)
