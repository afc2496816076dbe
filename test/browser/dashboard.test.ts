import { expect, test } from 'bun:test'
import { browser, type TestBrowser, withoutBrowser } from '../support/browser.ts'
import { openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { proxyTo } from '../support/proxy.ts'
import { serve, tokenFor } from '../support/service.ts'

const makeAdmin = (db: TestDatabase) => db.sql`insert into kairan.roles values ('boss', 100)`

/** Opens the dashboard and signs in with a token of an admin. */
const openDashboard = async (chromium: TestBrowser, url: string, width = 1280) => {
  const context = await chromium.newContext({ viewport: { width, height: 800 } })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(error.message))
  page.on('console', message => {
    // That nobody is signed in yet is an answer, which Chromium complains of.
    if (message.type() === 'error' && !message.text().includes('401'))
      complaints.push(message.text())
  })
  page.on('request', request => {
    if (!request.url().startsWith(url)) complaints.push(`asks elsewhere: ${request.url()}`)
  })
  await page.goto(`${url}/dashboard`)
  await page.getByLabel('Token of an admin').fill(await tokenFor('boss'))
  await page.getByRole('button', { name: 'Sign in' }).click()
  const go = (name: string) => page.getByRole('link', { name, exact: true }).click()
  return { page, go, complaints }
}

test.skipIf(withoutBrowser)('shows what happens, and lets an admin act on it', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  await using chromium = await browser()
  await using alice = await openReady(service.url, { token: await tokenFor('alice') })
  await db.sql`select kairan.publish('user-alice', '{"n": 12345678901234567890}', 'big')`
  const [away] = await db.sql`select kairan.publish('user-bob', '{}', 'waits') as id`
  await alice.atLeast(1)

  const { page, go, complaints } = await openDashboard(chromium, service.url)
  const tile = (name: string) => page.locator('.tile', { hasText: name }).locator('.value')
  await tile('Users online').getByText('1', { exact: true }).waitFor()
  await tile('Waiting').getByText('1', { exact: true }).waitFor()
  expect(await page.locator('canvas').count()).toBe(3)
  await page.getByRole('cell', { name: 'ready' }).waitFor()

  await go('Notifications')
  await page.getByLabel('Status').selectOption('delivered')
  await page
    .getByRole('row', { name: /user-alice/ })
    .getByRole('button', { name: 'Open' })
    .click()
  // Its digits are those of the database.
  await page.getByText('12345678901234567890').waitFor()
  await page.getByRole('button', { name: 'Redeliver', exact: true }).click()
  await page.getByRole('button', { name: 'Sure?' }).click()
  await alice.atLeast(2)
  await page.getByLabel('Status').selectOption('pending')
  await page.getByRole('row', { name: /user-bob/ }).waitFor()

  await go('Explain')
  await page.getByLabel('Notification').fill(String(away?.id))
  await page.getByLabel('User').fill('bob')
  await page.getByRole('button', { name: 'Explain' }).click()
  await page.getByText('bob has no stream open').waitFor()

  await go('Try it')
  const live = page.getByLabel('Live')
  await live.getByText('open', { exact: true }).waitFor()
  await page.getByLabel('Payload').fill('{"hello": "from the page"}')
  await page.getByRole('button', { name: 'Publish' }).click()
  await live.getByText('from the page').waitFor()
  await page.getByRole('tab', { name: 'curl' }).click()
  await page.getByText('curl -H').waitFor()
  await page.getByLabel('Payload').fill('nonsense')
  await page.getByRole('button', { name: 'Publish' }).click()
  await page.getByRole('alert').getByText('not JSON').waitFor()

  await go('Streams')
  await page.getByRole('link', { name: 'alice' }).click()
  await page.getByRole('button', { name: 'Disconnect this user' }).click()
  await page.getByRole('button', { name: 'Sure?' }).click()
  await alice.control('revoked')

  await go('System')
  await page.getByText('Settings of this instance').waitFor()
  await page.getByRole('button', { name: 'Remove what is too old' }).click()
  await page.getByRole('button', { name: 'Sure?' }).click()
  await page.getByRole('status').getByText('All done').waitFor()

  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Token of an admin').waitFor()
  expect(complaints).toEqual([])
})

test.skipIf(withoutBrowser)(
  'says in red that LISTEN is down, what to do, and takes it back',
  async () => {
    await using db = await database()
    await using proxy = await proxyTo(Number(new URL(db.url).port))
    const through = Object.assign(new URL(db.url), { port: String(proxy.port) }).toString()
    await using service = await serve(db, { DATABASE_LISTEN_URL: through })
    await makeAdmin(db)
    await using chromium = await browser()
    const { page } = await openDashboard(chromium, service.url, 390)
    await page.getByText('Users online').waitFor()
    expect(await page.locator('.banner').count()).toBe(0)
    proxy.cut()
    await page.locator('.banner').getByText('LISTEN is down').waitFor()
    await page.locator('.banner').getByText('DATABASE_LISTEN_URL').waitFor()
    proxy.heal()
    await page.locator('.banner').waitFor({ state: 'detached' })
    // On a phone nothing is wider than the page.
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390)
  },
)

test.skipIf(withoutBrowser)(
  'only looks where DASHBOARD is readonly, and lets no stranger in',
  async () => {
    await using db = await database()
    await using service = await serve(db, { DASHBOARD: 'readonly' })
    await using chromium = await browser()
    const stranger = await openDashboard(chromium, service.url)
    await stranger.page.getByRole('alert').getByText('admin role level').waitFor()

    await makeAdmin(db)
    const { page, go } = await openDashboard(chromium, service.url)
    await page.getByText('read-only').waitFor()
    await go('Try it')
    await page.getByText('Your stream').waitFor()
    expect(await page.getByRole('button', { name: 'Publish' }).count()).toBe(0)
    await go('System')
    await page.getByText('Settings of this instance').waitFor()
    expect(await page.getByRole('button', { name: 'Remove what is too old' }).count()).toBe(0)
  },
)
