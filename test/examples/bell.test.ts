import { expect, test } from 'bun:test'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { browser, withoutBrowser } from '../support/browser.ts'
import { eventually } from '../support/eventually.ts'
import { openExample } from '../support/example.ts'

/** Opens the shop as somebody. */
const visit = async (page: Page, url: string, name: string) => {
  page.on('pageerror', error => complaints.push(error.message))
  page.on('console', message => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  await page.goto(url)
  await page.getByRole('link', { name }).first().click()
  await bell(page, 0)
  return page
}

const complaints: string[] = []

/** Waits until the bell says so many unread ones, and how many of them are new. */
const bell = (page: Page, unread: number, unseen = unread) =>
  page
    .getByRole('button', {
      name: [
        'Notifications',
        ...(unread ? [`${unread} unread`] : []),
        ...(unseen ? [`${unseen} new`] : []),
      ].join(', '),
      exact: true,
    })
    .waitFor()

const toast = (page: Page, text: string) => page.locator('.toast', { hasText: text }).waitFor()

test.skipIf(withoutBrowser)(
  'the bell, the badge and the toasts of two windows stay in step',
  async () => {
    await using shop = await openExample()
    await using chromium = await browser()
    const desktop = await chromium.newContext({ colorScheme: 'light' })
    const phone = await chromium.newContext({
      viewport: { width: 390, height: 844 },
      colorScheme: 'dark',
    })
    const aiko = await visit(await desktop.newPage(), shop.url, 'Aiko')
    const aikosPhone = await visit(await phone.newPage(), shop.url, 'Aiko')
    const aikosTab = await visit(await desktop.newPage(), shop.url, 'Aiko')
    const chidi = await visit(await desktop.newPage(), shop.url, 'Chidi')

    // They go after a while, so they are waited for from before.
    const toasts = Promise.all([
      ...[aiko, aikosTab, aikosPhone].map(page => toast(page, 'Gyokuro, order #2')),
      toast(chidi, 'Aiko orders Gyokuro'),
    ])
    await aiko.getByRole('button', { name: 'Order Sencha' }).click()
    await aiko.getByRole('button', { name: 'Order Gyokuro' }).click()
    await toasts
    for (const page of [aiko, aikosTab, aikosPhone, chidi]) await bell(page, 2)
    for (const page of [aiko, aikosTab, aikosPhone]) {
      await page.locator('[data-order="2"] [data-status=placed]').waitFor()
    }
    await chidi.getByRole('button', { name: 'Ship: order 1' }).click()
    for (const page of [aiko, aikosTab, aikosPhone, chidi]) {
      await bell(page, 3)
      await page.locator('[data-order="1"] [data-status=shipped]').waitFor()
    }

    await aikosPhone.getByRole('button', { name: 'Notifications' }).click()
    const entry = aikosPhone.locator('.item', { hasText: 'It is on its way' })
    await entry.focus()
    await aikosPhone.keyboard.press('Enter')
    for (const page of [aiko, aikosTab, aikosPhone]) {
      await bell(page, 2, 0)
      await page.locator('kairan-bell li:not(.new)').waitFor({ state: 'attached' })
    }
    // Who uses the keyboard stays where they were.
    expect(await entry.evaluate(button => button.matches(':focus'))).toBe(true)
    await bell(chidi, 3)
    // Two windows of one browser share their stream.
    await eventually(() => shop.kairan.service.streams === 3)

    const folder = process.env.SCREENSHOTS ?? join(tmpdir(), 'kairan-orders')
    await chidi.getByRole('button', { name: 'Notifications' }).click()
    await aiko.screenshot({ path: join(folder, 'customer.png') })
    await aikosPhone.screenshot({ path: join(folder, 'customer-phone-dark.png') })
    await chidi.screenshot({ path: join(folder, 'admin.png') })
    console.log(`Screenshots of the example: ${folder}`)

    // What was there before the page is not news: no toast, but it is in the list.
    await aikosTab.bringToFront()
    await aikosTab.reload()
    await bell(aikosTab, 2, 0)
    expect(await aikosTab.locator('.toast').count()).toBe(0)
    await aikosTab.getByRole('button', { name: 'Notifications' }).click()
    // The number is there before the list: the other tab tells it.
    await eventually(async () => (await aikosTab.locator('kairan-bell li').count()) === 3)
    await aikosTab.getByRole('button', { name: 'Mark all as read' }).click()
    for (const page of [aiko, aikosTab, aikosPhone]) await bell(page, 0)

    expect(await aikosPhone.evaluate('document.documentElement.scrollWidth')).toBe(390)
    expect(complaints).toEqual([])
  },
)
