import { expect, test } from 'bun:test'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { findings } from '../support/axe.ts'
import { browser, type TestBrowser, withoutBrowser } from '../support/browser.ts'
import { openExample } from '../support/example.ts'

/** Opens the shop as somebody, on a device of their own. */
const visit = async (
  chromium: TestBrowser,
  url: string,
  name: string,
  options: { width?: number; colorScheme?: 'light' | 'dark' } = {},
) => {
  const { width = 1280, colorScheme = 'light' } = options
  const page = await chromium.newPage({ viewport: { width, height: 800 }, colorScheme })
  await page.goto(url)
  await page.getByRole('link', { name }).first().click()
  await page.getByRole('button', { name: 'Notifications', exact: true }).waitFor()
  return page
}

const tell = async (chidi: Page, text: string) => {
  await chidi.getByLabel('What is new?').fill(text)
  await chidi.getByRole('button', { name: 'Tell all' }).click()
}

/** It goes after a while, so it is waited for from before what it tells of. */
const toasts = (pages: Page[], text: string) =>
  Promise.all(pages.map(page => page.locator('.toast', { hasText: text }).waitFor()))

/** What is in somebody's bell, whether it is open or not. */
const listed = (page: Page, text: string) => page.locator('kairan-bell li', { hasText: text })

test.skipIf(withoutBrowser)(
  'a customer who mutes marketing hears no offer any more, in any window, but of orders still',
  async () => {
    await using shop = await openExample()
    await using chromium = await browser()
    const aiko = await visit(chromium, shop.url, 'Aiko')
    const phone = await visit(chromium, shop.url, 'Aiko', { width: 390, colorScheme: 'dark' })
    const ben = await visit(chromium, shop.url, 'Ben')
    const chidi = await visit(chromium, shop.url, 'Chidi', { colorScheme: 'dark' })
    const everywhere = [aiko, phone]
    const offers = phone.getByLabel('Tell me about offers')

    const offered = toasts([...everywhere, ben], 'Sencha of this spring')
    await tell(chidi, 'Sencha of this spring')
    await offered
    for (const page of [...everywhere, ben]) {
      await listed(page, 'Sencha of this spring').waitFor({ state: 'attached' })
    }
    // What else is muted stays muted.
    await shop.sql`insert into kairan.mutes (user_id, type) values ('1', 'survey')`
    await offers.uncheck()
    for (const page of everywhere) {
      await listed(page, 'Sencha of this spring').waitFor({ state: 'detached' })
      await page.locator('#offers-switch:not(:checked)').waitFor()
    }
    const mutes = await shop.sql`select type from kairan.mutes where user_id = '1' order by type`
    expect(mutes.map(({ type }) => type)).toEqual(['marketing.*', 'survey'])

    await tell(chidi, 'A pot for two')
    await listed(ben, 'A pot for two').waitFor({ state: 'attached' })
    const ordered = toasts(everywhere, 'Gyokuro, order #1')
    await aiko.getByRole('button', { name: 'Order Gyokuro' }).click()
    await ordered
    for (const page of everywhere) {
      await listed(page, 'Gyokuro, order #1').waitFor({ state: 'attached' })
      expect(await page.getByText('A pot for two').count()).toBe(0)
    }
    await aiko.reload()
    await listed(aiko, 'Gyokuro, order #1').waitFor({ state: 'attached' })
    await aiko.locator('#offers-switch:not(:checked)').waitFor()
    expect(await listed(aiko, 'A pot for two').count()).toBe(0)

    for (const [name, page] of Object.entries({ aiko, phone, chidi })) {
      await page.emulateMedia({ reducedMotion: 'reduce' })
      expect(await findings(page)).toEqual([])
      await page.getByRole('button', { name: /^Notifications/ }).click()
      expect(await findings(page)).toEqual([])
      const folder = process.env.SCREENSHOTS
      if (folder) await page.screenshot({ path: join(folder, `offers-${name}.png`) })
      await page.keyboard.press('Escape')
    }

    // What was muted was not lost.
    await offers.check()
    for (const page of everywhere) {
      await listed(page, 'A pot for two').waitFor({ state: 'attached' })
      await page.locator('#offers-switch:checked').waitFor()
    }

    // The same from the bell.
    await phone.getByRole('button', { name: /^Notifications/ }).click()
    await listed(phone, 'A pot for two').getByRole('button', { name: /^Mute/ }).click()
    for (const page of everywhere) {
      await page.locator('#offers-switch:not(:checked)').waitFor()
      await listed(page, 'A pot for two').waitFor({ state: 'detached' })
    }
    expect(await ben.locator('#offers-switch').isChecked()).toBe(true)
  },
)
