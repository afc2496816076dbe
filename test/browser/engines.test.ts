/** That the client works in all engines: its main path, and that of its tabs. The details are tested in Chromium. */
import { expect, test } from 'bun:test'
import { serveApp } from '../support/app.ts'
import { database } from '../support/database.ts'
import { type EnginePage, engine, engineNames } from '../support/engines.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'

for (const name of engineNames) {
  test(`the client, its inbox and its tabs work in ${name}`, async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '200' })
    await using running = await engine(name)
    const publish = async (n: number) => {
      const [row] = await db.sql`select kairan.publish('user-42', ${db.sql.json({ n })}) as id`
      return String(row?.id)
    }
    const until = (page: EnginePage, condition: string) =>
      eventually(() => page.evaluate<boolean>(condition).catch(() => false))
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
      await until(page, 'client.unread === 2')
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
  }, 240_000)
}
