import { expect, test } from 'bun:test'
import { serveApp } from '../support/app.ts'
import { browser, withoutBrowser } from '../support/browser.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'
import { openTab, type Tab } from '../support/tab.ts'

const withoutInbox = !(await Bun.file('src/inbox/routes.ts').exists())

const publish = async ({ sql }: TestDatabase, n: number): Promise<string> => {
  const [row] = await sql`select kairan.publish('user-42', ${sql.json({ n })}) as id`
  return row?.id
}

const unread = (tab: Tab, count: number) => tab.until(`client.unread === ${count}`)

test.skipIf(withoutBrowser || withoutInbox)(
  'the first page and the stream have everything between them, once',
  async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '50' })
    await using chromium = await browser()
    let n = 0
    let isOver = false
    const publishing = (async () => {
      while (!isOver && n < 1000) await publish(db, ++n)
    })()
    // Each in a browser of its own, at another moment of the same run.
    const tabs: Tab[] = []
    while (n < 80) {
      tabs.push(await openTab(await chromium.newContext(), `${app.url(service.url, '42')}&list`))
    }
    isOver = true
    await publishing
    for (const tab of tabs) {
      await tab.until(`seen.at(-1)?.n === ${n} || page.notifications[0]?.payload.n === ${n}`)
      const listed = await tab.page.evaluate<number[]>(
        'page.notifications.map(({ payload }) => payload.n)',
      )
      const heard = (await tab.heard()).map(({ n }) => n)
      const all = [...listed.reverse(), ...heard]
      expect(all).toEqual(
        Array.from({ length: all.length }, (_, index) => n - all.length + 1 + index),
      )
      await unread(tab, n)
      // It is all new since the page was opened.
      expect((await tab.heard()).some(({ replayed }) => replayed)).toBe(false)
    }
  },
)

test.skipIf(withoutBrowser || withoutInbox)(
  'what is read in one tab is read in all, and on other devices, also on one that was away',
  async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '50' })
    await using chromium = await browser()
    const url = `${app.url(service.url, '42')}&list`
    const ids: string[] = []
    for (let n = 1; n <= 4; n++) ids.push(await publish(db, n))
    const [here, away] = [await chromium.newContext(), await chromium.newContext()]
    const first = await openTab(here, url)
    const second = await openTab(here, url)
    const device = await openTab(away, url)
    const all = [first, second, device]
    const ask = (code: string) => first.page.evaluate<number>(`client.${code}`)

    for (const tab of all) await unread(tab, 4)
    ids.push(await publish(db, 5))
    for (const tab of all) await unread(tab, 5)

    expect(await ask(`markRead(${JSON.stringify(ids.slice(0, 2))})`)).toBe(3)
    for (const tab of all) await unread(tab, 3)
    expect(await ask(`markUnread(${JSON.stringify(ids.slice(0, 1))})`)).toBe(4)
    for (const tab of all) await unread(tab, 4)
    expect(await ask('markReadUpTo(page.cursor)')).toBe(1)
    for (const tab of all) await unread(tab, 1)

    await away.setOffline(true)
    await device.status('waiting')
    expect(await ask('markAllRead()')).toBe(0)
    await publish(db, 6)
    for (const tab of [first, second]) await unread(tab, 1)
    await away.setOffline(false)
    await device.status('open')
    await unread(device, 1)

    // The pages of what is unread, by type.
    const page = await first.page.evaluate<{ notifications: { payload: { n: number } }[] }>(
      'client.list({ unread: true, limit: 2 })',
    )
    expect(page.notifications.map(({ payload }) => payload.n)).toEqual([6])
    const error = await first.page.evaluate<unknown>(
      `client.list({ before: 'nonsense' }).catch(({ status, code }) => ({ status, code }))`,
    )
    expect(error).toEqual({ status: 400, code: 'bad_cursor' })
    await eventually(() => service.service.streams === 2)
  },
)
