import { expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import { serveApp } from '../support/app.ts'
import { findings } from '../support/axe.ts'
import { browser, type TestBrowser, withoutBrowser } from '../support/browser.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'

const say = ({ sql }: TestDatabase, title: string, more: object = {}) =>
  sql`select kairan.publish('user-42', ${sql.json({ title, ...more })}, 'order.shipped')`

/** Waits until a bell lists exactly these: the number of unread ones can be known before the list is. */
const lists = async (page: Page, ...titles: string[]) => {
  const listed = () => page.locator('kairan-bell strong').allTextContents()
  await eventually(async () => `${await listed()}` === `${titles}`).catch(async () => {
    expect(await listed()).toEqual(titles)
  })
}

/** Keeps a picture where BELL_PICTURES names a folder. */
const picture = async (page: Page, name: string) => {
  const folder = process.env.BELL_PICTURES
  if (!folder) return
  await mkdir(folder, { recursive: true })
  await page.screenshot({ path: `${folder}/${name}.png` })
}

/** A page of the user with a bell, its buttons by their names, and the list. */
const openBell = async (
  chromium: TestBrowser,
  origin: string,
  service: string,
  viewport = { width: 800, height: 600 },
) => {
  const page = await chromium.newPage({ viewport })
  await page.goto(`${origin}/bell?${new URLSearchParams({ service })}`)
  const named = (name: string | RegExp, exact = true) => page.getByRole('button', { name, exact })
  return { page, named, panel: page.getByRole('dialog') }
}

const widths = [
  { name: 'desk', width: 1200, height: 800, colorScheme: 'light' },
  { name: 'phone', width: 360, height: 640, colorScheme: 'dark' },
] as const

for (const { name, width, height, colorScheme } of widths) {
  test.skipIf(withoutBrowser)(
    `the bell shows, lists and marks by keyboard, and axe finds nothing (${name}, ${colorScheme})`,
    async () => {
      await using db = await database()
      await using app = await serveApp()
      await using service = await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '50' })
      await using chromium = await browser()
      const page = await chromium.newPage({ viewport: { width, height }, colorScheme })
      const query = new URLSearchParams({ service: service.url })
      await page.goto(`${app.origin}/bell?${query}`)
      const bell = page.getByRole('button', { name: /^Notifications/ })
      const panel = page.getByRole('dialog')
      const press = (key: string) => page.keyboard.press(key)

      await bell.click()
      await panel.getByText('No notifications').waitFor()
      expect(await findings(page)).toEqual([])
      await press('Escape')
      await panel.waitFor({ state: 'hidden' })

      await say(db, 'One', { body: 'Order 1 is on its way', url: '/elsewhere' })
      await say(db, 'Two', { url: 'javascript:alert(1)' })
      for (const title of ['Three', 'Four']) await say(db, title)
      await page.getByRole('button', { name: 'Notifications, 4 unread' }).waitFor()

      // A page that is opened now has the first three, and the fourth is loaded by its button.
      await page.reload()
      await page.getByRole('button', { name: 'Notifications, 4 unread' }).waitFor()
      await bell.focus()
      await press('Enter')
      await panel.getByText('Four').waitFor()
      // It is loaded again when the stream begins. Until then it says that it loads, or is offline.
      await panel.locator('#note').waitFor({ state: 'hidden' })
      await panel.getByRole('button', { name: 'Load more' }).click()
      await panel.getByRole('link', { name: 'One' }).waitFor()
      expect(await panel.getByRole('listitem').count()).toBe(4)
      // A link that would run a script is none.
      expect(await panel.getByRole('link').count()).toBe(1)
      expect(await findings(page)).toEqual([])
      await picture(page, name)
      const box = await panel.boundingBox()
      expect(box?.x).toBeGreaterThanOrEqual(0)
      expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(width)

      await press('Home')
      await press('ArrowDown')
      await press('Enter')
      await page.getByRole('button', { name: 'Notifications, 3 unread' }).waitFor()
      expect(await panel.getByRole('button', { name: /^Unread/ }).count()).toBe(2)
      // The focus stays though one comes.
      await say(db, 'Five')
      await panel.getByText('Five').waitFor()
      expect(await panel.locator(':focus').textContent()).toContain('Three')
      await panel.getByRole('button', { name: 'Mark all' }).click()
      await page.getByRole('button', { name: 'Notifications', exact: true }).waitFor()
      await press('Escape')
      await panel.waitFor({ state: 'hidden' })
      expect(await page.evaluate('document.activeElement.id')).toBe('bell')

      await bell.click()
      await page.context().setOffline(true)
      await panel.getByText('You are offline.').waitFor()
      await page.context().setOffline(false)
      await panel.getByText('You are offline.').waitFor({ state: 'hidden' })
    },
  )
}

test.skipIf(withoutBrowser)(
  'looking clears the badge, archiving can be undone, and what is withdrawn goes, on every page of the user',
  async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '50' })
    await using chromium = await browser()
    const open = () => openBell(chromium, app.origin, service.url)
    const [here, there] = [await open(), await open()]
    for (const title of ['One', 'Two', 'Three']) await say(db, title)
    for (const { named } of [here, there]) await named('Notifications, 3 unread, 3 new').waitFor()
    expect(await here.page.locator('#badge').textContent()).toBe('3')

    await here.named(/^Notifications/).click()
    // Seen is not read, on the other page neither; and what comes while one looks is seen.
    for (const { named, page } of [here, there]) {
      await named('Notifications, 3 unread').waitFor()
      await page.locator('#badge').waitFor({ state: 'hidden' })
    }
    await say(db, 'Four')
    for (const { named } of [here, there]) await named('Notifications, 4 unread').waitFor()

    await here.panel.getByRole('button', { name: /^Unread Three/ }).focus()
    await here.page.keyboard.press('Tab')
    expect(await here.panel.locator(':focus').getAttribute('aria-label')).toBe('Archive: Three')
    await picture(here.page, 'archive')
    await here.page.keyboard.press('Enter')
    for (const { named } of [here, there]) await named('Notifications, 3 unread').waitFor()
    await here.panel.getByText('Three').waitFor({ state: 'hidden' })
    expect(await here.panel.locator(':focus').textContent()).toContain('Two')
    await here.panel.getByText('Archived').waitFor()
    await picture(here.page, 'undo')
    expect(await findings(here.page)).toEqual([])
    await there.named(/^Notifications/).click()
    await lists(there.page, 'Four', 'Two', 'One')
    await here.named('Undo').click()
    for (const { page } of [here, there]) await lists(page, 'Four', 'Three', 'Two', 'One')

    await db.sql`select kairan.withdraw(id) from kairan.notifications where payload ->> 'title' = 'Two'`
    for (const { named, panel } of [here, there]) {
      await panel.getByText('Two').waitFor({ state: 'hidden' })
      await named('Notifications, 3 unread').waitFor()
    }
    await lists(here.page, 'Four', 'Three', 'One')
  },
)

test.skipIf(withoutBrowser)(
  'a type is muted from the list, on every page, until that is undone',
  async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '50' })
    await using chromium = await browser()
    const open = () => openBell(chromium, app.origin, service.url, { width: 360, height: 640 })
    const [here, there] = [await open(), await open()]
    for (const title of ['One', 'Two']) await say(db, title)
    await db.sql`select kairan.publish('user-42', '{"title": "Sale"}', 'news.sale')`
    for (const { named } of [here, there]) await named('Notifications, 3 unread, 3 new').waitFor()
    await here.named('Notifications, 3 unread, 3 new').click()
    await here.named('Mute: news.sale').click()
    for (const { named } of [here, there]) await named('Notifications, 2 unread').waitFor()
    await here.page.getByText('Muted').waitFor()
    await picture(here.page, 'muted')
    expect(await findings(here.page)).toEqual([])
    await lists(here.page, 'Two', 'One')
    // None of it comes while it is muted.
    await db.sql`select kairan.publish('user-42', '{"title": "Sale 2"}', 'news.sale')`
    await say(db, 'Three')
    for (const { named } of [here, there]) await named('Notifications, 3 unread').waitFor()
    await lists(here.page, 'Three', 'Two', 'One')
    await here.named('Undo').click()
    for (const { named } of [here, there]) await named('Notifications, 5 unread').waitFor()
    await here.page.getByText('Sale 2').waitFor()
    // What was shown below stays.
    await lists(here.page, 'Three', 'Sale 2', 'Sale', 'Two', 'One')
  },
)

test.skipIf(withoutBrowser)(
  'the bell marks when it is opened, shows errors, and takes texts from right to left',
  async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '50' })
    await using chromium = await browser()
    const page = await chromium.newPage({ viewport: { width: 800, height: 600 } })
    await say(db, 'واحد')
    let isBroken = true
    await page.route(/\/notifications\?/, route =>
      isBroken ? route.fulfill({ status: 500, body: '{}' }) : route.continue(),
    )
    const query = new URLSearchParams({ service: service.url, mark: 'open' })
    await page.goto(`${app.origin}/bell?${query}`)
    await page.evaluate(`document.dir = 'rtl'; document.documentElement.lang = 'ar'
      bell.texts = { title: 'الإشعارات', unread: '{n} غير مقروء', retry: 'أعد المحاولة' }`)
    const bell = page.getByRole('button', { name: /^الإشعارات/ })
    const panel = page.getByRole('dialog')
    await bell.focus()
    await bell.click()
    await panel.getByText('Something went wrong.').first().waitFor()
    // Mended by the click: before it, the bell may try again by itself.
    await page.exposeFunction('mend', () => {
      isBroken = false
    })
    const retry = panel.getByRole('button', { name: 'أعد المحاولة' })
    await retry.evaluate(button =>
      button.addEventListener('click', () => Reflect.get(window, 'mend')(), { capture: true }),
    )
    await retry.click()
    await panel.getByText('واحد').waitFor()
    expect(await findings(page)).toEqual([])
    await picture(page, 'rtl')
    const box = await panel.boundingBox()
    expect(box?.x).toBeGreaterThanOrEqual(0)
    await page.locator('#after').click()
    await panel.waitFor({ state: 'hidden' })
    await bell.click()
    await page.getByRole('button', { name: 'الإشعارات', exact: true }).waitFor()
  },
)
