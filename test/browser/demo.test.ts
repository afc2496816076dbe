import { expect, test } from 'bun:test'
import type { BrowserContext, Page } from 'playwright-core'
import { findings } from '../support/axe.ts'
import { browser, type TestBrowser, withoutBrowser } from '../support/browser.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'

/** Opens the demo page as someone on a device of their own, and collects what the console complains of. */
const openDemo = async (chromium: TestBrowser, url: string, name: string) =>
  signIn(await chromium.newContext({ viewport: { width: 360, height: 740 } }), url, name)

/** The same in one more window of a browser. */
const signIn = async (context: BrowserContext, url: string, name: string) => {
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
    for (const [{ page, complaints }, colorScheme] of [
      [aiko, 'light'],
      [ben, 'dark'],
    ] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      expect(await findings(page)).toEqual([])
      expect(complaints).toEqual([])
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
    }
  },
)

test.skipIf(withoutBrowser)(
  'the bell counts what a demo user gets, lists it, and is that of who is chosen next',
  async () => {
    await using db = await database()
    await using service = await serve(db, {}, { demo: true })
    await using chromium = await browser()
    const { page, complaints } = await openDemo(chromium, service.url, 'Aiko')
    const bell = (name: string) => page.getByRole('button', { name, exact: true })
    await bell('Notifications').waitFor()

    await publish(page, 'user-1', '{"text": "For Aiko"}')
    await publish(page, 'user-2', '{"text": "For Ben"}')
    await bell('Notifications, 1 unread, 1 new').waitFor()
    for (const [width, colorScheme] of [
      [360, 'light'],
      [1200, 'dark'],
    ] as const) {
      await page.setViewportSize({ width, height: 740 })
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await page.getByRole('button', { name: /^Notifications/ }).click()
      await page.getByRole('dialog').getByText('For Aiko').waitFor()
      expect(await page.getByRole('dialog').getByRole('listitem').count()).toBe(1)
      expect(await findings(page)).toEqual([])
      const folder = process.env.SCREENSHOTS
      if (folder) await page.screenshot({ path: `${folder}/demo-${width}-${colorScheme}.png` })
      await page.keyboard.press('Escape')
    }
    await page.getByRole('button', { name: 'Ben' }).click()
    await bell('Notifications, 1 unread, 1 new').waitFor()
    await page.getByRole('button', { name: /^Notifications/ }).click()
    await page.getByRole('dialog').getByText('For Ben').waitFor()
    expect(await page.getByRole('dialog').getByText('For Aiko').count()).toBe(0)
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(1200)
    expect(complaints).toEqual([])
    // The stream is the page's: the bell has none of its own. That of Aiko is counted until its end was noticed.
    await eventually(() => service.service.streams === 1)
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

test.skipIf(withoutBrowser)(
  'two windows of one browser stay two users, when they come back and when they are reloaded',
  async () => {
    await using db = await database()
    await using service = await serve(db, { RETRY_MS: '50' }, { demo: true })
    await using chromium = await browser()
    const context = await chromium.newContext()
    const aiko = await signIn(context, service.url, 'Aiko')
    const ben = await signIn(context, service.url, 'Ben')

    // The cookie is Ben's now. Aiko's stream is refused when it returns, and signs in again.
    await db.sql`select kairan.disconnect('1')`
    await aiko.page.locator('.control', { hasText: 'revoked' }).waitFor()
    await db.sql`select kairan.publish('user-2', '{"text": "For Ben"}')`
    await db.sql`select kairan.publish('user-1', '{"text": "For Aiko"}')`
    await aiko.page.locator('#events').getByText('For Aiko').waitFor()
    await ben.page.locator('#events').getByText('For Ben').waitFor()
    expect(await aiko.page.locator('#events pre').count()).toBe(1)

    await ben.page.reload()
    await ben.page.getByRole('status').getByText('live').waitFor()
    await db.sql`select kairan.publish('user-2', '{"text": "For Ben again"}')`
    await ben.page.locator('#events').getByText('For Ben again').waitFor()
  },
)

test.skipIf(withoutBrowser)(
  'the SQL that it shows does the same, and the event says its id',
  async () => {
    await using db = await database()
    await using service = await serve(db, {}, { demo: true })
    await using chromium = await browser()
    const { page } = await openDemo(chromium, service.url, 'Aiko')

    await page.getByLabel('Payload').fill(`{"text": "It's here"}`)
    await page.getByLabel('Type').fill('')
    await db.sql.unsafe((await page.locator('#sql').textContent()) ?? '')
    await page.locator('#events').getByText("It's here").waitFor()
    await page
      .locator('#events')
      .getByText(/^id: [0-9a-z]+-1$/)
      .waitFor()
    await db.sql`select pg_notify('kairan', '{"channel": "user-1", "payload": {}}')`
    await page.locator('#events').getByText('live, not stored').waitFor()

    await page.getByRole('button', { name: 'Copy' }).click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
  },
)

test.skipIf(withoutBrowser)('an admin who is none any more still gets their stream', async () => {
  await using db = await database()
  await using service = await serve(db, {}, { demo: true })
  await db.sql`insert into kairan.roles (user_id, role_level) values ('3', 0)`
  await using chromium = await browser()
  const { page } = await openDemo(chromium, service.url, 'Chidi')

  await db.sql`select kairan.publish('user-3', '{"text": "For Chidi"}')`
  await page.locator('#events').getByText('For Chidi').waitFor()
})

test.skipIf(withoutBrowser)(
  'a member of the demo gets what is on its channel, and no longer when they leave',
  async () => {
    await using db = await database()
    await using service = await serve(db, {}, { demo: true })
    await using chromium = await browser()
    const aiko = await openDemo(chromium, service.url, 'Aiko')
    const ben = await openDemo(chromium, service.url, 'Ben')
    const member = ben.page.getByLabel('Member of org-7')
    expect(await member.isChecked()).toBe(false)
    await publish(aiko.page, 'org-7', '{"text": "Nobody"}')
    await aiko.page.getByText('No member of org-7 is here.').waitFor()
    await member.check()
    // The other window of this browser is told by its own stream.
    const again = await signIn(ben.page.context(), service.url, 'Ben')
    await again.page.locator('#member:checked').waitFor()
    await publish(aiko.page, 'org-7', '{"text": "Members"}')
    for (const { page } of [ben, again])
      await page.locator('#events').getByText('Members').waitFor()
    await member.uncheck()
    await again.page.locator('#member:not(:checked)').waitFor()
    await publish(aiko.page, 'org-7', '{"text": "Gone"}')
    await publish(aiko.page, 'user-2', '{"text": "Still here"}')
    await ben.page.locator('#events').getByText('Still here').waitFor()
    expect(await ben.page.locator('#events').getByText('Gone').count()).toBe(0)
    expect(await aiko.page.locator('#events').getByText('Members').count()).toBe(0)
    for (const { complaints, page } of [aiko, ben]) {
      expect(complaints).toEqual([])
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
    }
  },
)
