import { expect, test } from 'bun:test'
import { browser, withoutBrowser } from '../support/browser.ts'
import { openReady } from '../support/client.ts'
import { makeAdmin, openDashboard } from '../support/dashboard.ts'
import { database } from '../support/database.ts'
import { proxyTo } from '../support/proxy.ts'
import { serve, tokenFor } from '../support/service.ts'

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
  // A chart draws itself after the page, the last one at last.
  await page.locator('canvas').nth(2).waitFor()
  expect(await page.locator('canvas').count()).toBe(3)
  // The legend has the newest values without a pointer on the chart.
  const streams = page.locator('.chart', { hasText: 'Streams and users' }).locator('.u-series')
  await streams.filter({ hasText: 'streams' }).getByText('1', { exact: true }).waitFor()
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
  await page.getByRole('link', { name: 'alice', exact: true }).click()
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
    const stranger = await openDashboard(chromium, service.url, 1280, { byKey: true })
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

test.skipIf(withoutBrowser)(
  'stays signed in during an outage, says so, and comes back by itself',
  async () => {
    await using db = await database()
    const port = Number(new URL(db.url).port)
    await using proxy = await proxyTo(port)
    const through = Object.assign(new URL(db.url), { port: String(proxy.port) }).toString()
    await using service = await serve(db, { DATABASE_URL: through, DATABASE_LISTEN_URL: through })
    await makeAdmin(db)
    await using _alice = await openReady(service.url, { token: await tokenFor('alice') })
    await using chromium = await browser()
    const { page, go } = await openDashboard(chromium, service.url)
    const answers: string[] = []
    page.on('response', response => {
      if (response.status() === 500) answers.push(response.url())
    })
    const banner = page.locator('.banner').getByText('The service does not answer')
    const form = page.getByLabel('Token of an admin')
    await go('Streams')
    await page.getByRole('link', { name: 'alice', exact: true }).waitFor()

    proxy.leadTo(null, 'reset')
    await banner.waitFor()
    await page.getByRole('link', { name: 'alice', exact: true }).waitFor()
    // Whoever opens the page now is not asked for a token, either.
    await page.reload()
    await banner.waitFor()
    expect([await form.count(), await page.getByText('No stream is open').count()]).toEqual([0, 0])

    proxy.leadTo(port, 'kept')
    await page.getByRole('link', { name: 'alice', exact: true }).waitFor()
    await banner.waitFor({ state: 'detached' })
    expect([await form.count(), answers]).toEqual([0, []])

    // The same when the service itself is out of reach.
    await page.context().setOffline(true)
    await banner.waitFor()
    await page.context().setOffline(false)
    await banner.waitFor({ state: 'detached' })
    expect(await form.count()).toBe(0)
  },
  60_000,
)

test.skipIf(withoutBrowser)('lists what is scheduled, explains it and withdraws it', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  await db.sql`
    insert into kairan.scheduled (channels, payload, type, send_at)
    select array['user-' || n], '{"n": 1}', 'later' || n, now() + n * interval '1 hour' from generate_series(1, 60) n`
  await using chromium = await browser()
  const { page, go, complaints } = await openDashboard(chromium, service.url)
  await go('Scheduled')
  const rows = page.locator('tbody tr')
  const row = (type: string) => rows.filter({ has: page.getByText(type, { exact: true }) })
  await row('later50').waitFor()
  expect(await rows.count()).toBe(50)
  await page.getByRole('button', { name: 'More' }).click()
  await row('later60').waitFor()
  // A list follows by itself.
  await db.sql`
    insert into kairan.scheduled (channels, payload, type, send_at) values ('{user-0}', '{}', 'soon', now() + interval '1 minute')`
  await row('soon').waitFor()

  await row('later2').getByRole('link', { name: 'Explain' }).click()
  await page.getByText('It is scheduled: it will be sent at').waitFor()
  await page.getByRole('link', { name: 'the notification' }).click()
  const detail = page.getByLabel('Notification', { exact: true })
  await detail.getByText('Due').waitFor()
  expect(await detail.getByRole('button', { name: 'Redeliver' }).count()).toBe(0)

  await go('Scheduled')
  await page.getByLabel('Channel').fill('user-3')
  await page.keyboard.press('Enter')
  await row('later2').waitFor({ state: 'detached' })
  await row('later3').getByRole('button', { name: 'Withdraw' }).click()
  expect((await db.sql`select from kairan.scheduled`).length).toBe(61)
  await page.getByRole('button', { name: 'Sure?' }).click()
  await page.getByText('Nothing like that is scheduled').waitFor()
  expect((await db.sql`select from kairan.scheduled`).length).toBe(60)
  const [noted] = await db.sql`select actor, action from kairan.audit`
  expect(noted).toEqual({ actor: 'boss', action: 'withdraw' })
  expect(complaints).toEqual([])
})

test.skipIf(withoutBrowser)('finds, explains and redelivers without surprises', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  await using alice = await openReady(service.url, { token: await tokenFor('alice') })
  await db.sql`
    insert into kairan.notifications (channels, payload, type)
    select '{user-alice}', '{}', 'n' || n from generate_series(1, 12) n`
  await alice.atLeast(12)
  await using chromium = await browser()
  const { page, go, complaints } = await openDashboard(chromium, service.url)
  await page.getByText('on 1 instance', { exact: true }).waitFor()
  await go('Notifications')
  const row = (type: string) => page.getByRole('row').filter({ hasText: type })
  await row('n12').waitFor()

  // The detail opens below the row that was clicked.
  await row('n7').getByRole('button', { name: 'Open' }).click()
  const detail = page.getByLabel('Notification', { exact: true })
  const isBelow = await detail.evaluate(element =>
    element.closest('tr')?.previousElementSibling?.textContent?.includes('n7'),
  )
  expect(isBelow).toBe(true)
  // Within the detail, whose link is there once it is loaded: the menu has one of that name, too.
  await detail.getByRole('link', { name: 'Explain', exact: true }).click()
  await page.getByText('Delivered on user-alice').waitFor()

  // A list follows by itself.
  await go('Notifications')
  await row('n12').waitFor()
  const [late] = await db.sql`select kairan.publish('user-alice', '{"found": true}', 'late') as id`
  await row('late').waitFor()
  await page.getByLabel('Id', { exact: true }).fill(String(late?.id))
  await page.keyboard.press('Enter')
  await page.getByText('"found"').waitFor()

  await page.getByLabel('Id', { exact: true }).fill('')
  await page.keyboard.press('Enter')
  await page.getByLabel('Payload', { exact: true }).fill('{"found":true}')
  await page.keyboard.press('Enter')
  await row('n12').waitFor({ state: 'detached' })
  await row('late').waitFor()
  await page.getByLabel('Payload', { exact: true }).fill('')
  await page.keyboard.press('Enter')
  await row('n12').waitFor()

  // It says how many, and does nothing until that is confirmed.
  await page.getByRole('button', { name: 'Redeliver all of these' }).click()
  await page.getByText('13 deliveries would be sent again: no filter is set').waitFor()
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByLabel('Type', { exact: true }).fill('n3')
  await page.keyboard.press('Enter')
  await row('n12').waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Redeliver all of these' }).click()
  await page.getByText('1 delivery would be sent again.').waitFor()
  await page.getByRole('button', { name: 'Redeliver 1', exact: true }).click()
  await page.getByRole('status').getByText('1 · All done').waitFor()
  expect((await alice.atLeast(14)).map(({ type }) => type).at(-1)).toBe('n3')

  // From a channel to who is on it.
  await go('Streams')
  await page.getByRole('link', { name: 'user-alice', exact: true }).click()
  await page.getByRole('link', { name: 'alice', exact: true }).waitFor()
  expect(await page.getByLabel('Channel', { exact: true }).inputValue()).toBe('user-alice')
  await page.getByLabel('Channel', { exact: true }).fill('org-7')
  await page.keyboard.press('Enter')
  await page.getByText('No stream is on org-7.').waitFor()
  expect(complaints).toEqual([])
})

test.skipIf(withoutBrowser)('opens where the browser names no valid language', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using chromium = await browser()
  const page = await chromium.newPage()
  await page.addInitScript(() => {
    Object.defineProperty(Navigator.prototype, 'language', { get: () => 'C' })
  })
  await page.goto(`${service.url}/dashboard`)
  await page.getByLabel('Token of an admin').waitFor()
})
