/**
 * That the client, its tabs, the bell, the demo and the dashboard work in all engines: the main path of each. The details
 * are tested in Chromium.
 */
import { afterAll, expect, test } from 'bun:test'
import { serveApp } from '../support/app.ts'
import { database } from '../support/database.ts'
import {
  type Engine,
  type EngineName,
  type EnginePage,
  engine,
  engineNames,
} from '../support/engines.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

/** Each is started once: that takes up to a second of a core. */
const started = new Map<EngineName, Promise<Engine>>()
const sharedEngine = (name: EngineName) => {
  const running = started.get(name) ?? engine(name)
  started.set(name, running)
  return running
}
afterAll(async () => {
  for (const running of started.values()) await (await running)[Symbol.asyncDispose]()
})

const until = (page: EnginePage, condition: string) =>
  eventually(() => page.evaluate<boolean>(condition).catch(() => false)).catch(async () => {
    const shown = await page.evaluate<string>(shownText).catch(String)
    throw new Error(`It is never true that ${condition}. The page shows: ${shown}`)
  })

/** What a page shows, and its bell. */
const shownText = `[document.hidden, document.body.innerText,
  document.querySelector('kairan-bell')?.shadowRoot.querySelector('#panel').innerText].join(' | ')`

for (const name of engineNames) {
  test.concurrent(`the client, its inbox and its tabs work in ${name}`, async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '200' })
    const running = await sharedEngine(name)
    const publish = async (n: number) => {
      const [row] = await db.sql`select kairan.publish('user-42', ${db.sql.json({ n })}) as id`
      return String(row?.id)
    }
    const numbers = (page: EnginePage) => page.evaluate<number[]>('seen.map(({ n }) => n)')

    await publish(1)
    const url = `${app.url(service.url, '42')}&list`
    const first = await running.newPage()
    await first.goto(url)
    await until(first, `client.status === 'open' && client.unread === 1`)
    const second = await running.newPage()
    await second.goto(url)
    await until(second, `client.status === 'open' && client.unread === 1`)
    await eventually(() => service.service.streams === 1)

    const id = await publish(2)
    for (const page of [first, second]) {
      // The number may come before the event: the client asks for it when a stream begins.
      await until(page, 'client.unread === 2 && seen.length > 0')
      expect(await numbers(page)).toEqual([2])
    }
    expect(await second.evaluate<number>(`client.markRead(['${id}'])`)).toBe(1)
    await until(first, 'client.unread === 1')

    // The tab that leads leaves; a page that was loaded anew goes on where it was.
    await first.goto(`${app.origin}/elsewhere`)
    await publish(3)
    await until(second, 'client.unread === 2')
    await until(second, `seen.length === 2 && client.status === 'open'`)
    await first.goto(app.url(service.url, '42'))
    await until(first, `client.status === 'open' && seen.length === 2`)
    expect([await numbers(first), await numbers(second)]).toEqual([
      [2, 3],
      [2, 3],
    ])
    await eventually(() => service.service.streams === 1)

    // Left at once: the mark is sent all the same.
    await second
      .evaluate(`void (client.markAllRead(), location.href = '/elsewhere')`)
      .catch(() => null)
    await until(first, 'client.unread === 0')
    await Promise.all([first.close(), second.close()])
  }, 240_000)

  test.concurrent(`the bell shows, lists and marks in ${name}`, async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin })
    const page = await (await sharedEngine(name)).newPage()
    await page.goto(`${app.origin}/bell?${new URLSearchParams({ service: service.url })}`)
    const inBell = (id: string) =>
      `document.querySelector('kairan-bell').shadowRoot.querySelector('${id}')`
    await until(page, `${inBell('#bell')}.getAttribute('aria-label') === 'Notifications'`)
    await db.sql`select kairan.publish('user-42', '{"title": "Order 7"}')`
    await until(page, `${inBell('#badge')}.textContent === '1'`)
    await page.evaluate(`void ${inBell('#bell')}.click()`)
    await until(page, `${inBell('#list')}.textContent.includes('Order 7')`)
    await page.evaluate(`void ${inBell('.item')}.click()`)
    await until(page, `${inBell('#badge')}.hidden`)
    await page.close()
  }, 120_000)

  test.concurrent(`the demo and the dashboard work in ${name}`, async () => {
    await using db = await database()
    await using service = await serve(db, {}, { demo: true })
    const page = await (await sharedEngine(name)).newPage()
    const on = (selector: string) => `document.querySelector('${selector}')`
    await page.goto(service.url)
    await until(page, `(${on('[data-user="1"]')}.click(), true)`)
    await until(page, `${on('#state')}.dataset.state === 'live'`)
    await page.evaluate(`void ${on('#publish')}.requestSubmit()`)
    await until(page, `${on('#events')}.textContent.includes('Your parcel is on its way')`)

    await db.sql`insert into kairan.roles values ('boss', 100)`
    await page.goto(`${service.url}/dashboard`)
    // The demo's user is no admin: the page asks for the token of one.
    await until(page, `${on('[name=token]')} !== null`)
    await page.evaluate(`void (${on('[name=token]')}.value = '${await tokenFor('boss')}')`)
    await page.evaluate(`void ${on('form')}.requestSubmit()`)
    await until(page, `document.querySelectorAll('canvas').length === 3`)
    await page.evaluate(`void (location.hash = 'notifications')`)
    await until(page, `${on('main')}.textContent.includes('order.shipped')`)
    await page.close()
  }, 120_000)
}
