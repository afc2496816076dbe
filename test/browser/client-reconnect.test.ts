import { expect, test } from 'bun:test'
import { serveApp } from '../support/app.ts'
import { browser, withoutBrowser } from '../support/browser.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serveFront } from '../support/front.ts'
import { freePort } from '../support/port.ts'
import { proxyTo } from '../support/proxy.ts'
import { serve } from '../support/service.ts'
import { openTab } from '../support/tab.ts'

const publish = ({ sql }: TestDatabase, n: number, channel = 'all-users') =>
  sql`select kairan.publish(${channel}, ${sql.json({ n })})`

const quick = { RETRY_MS: '50', HEARTBEAT_MS: '200' }

test.skipIf(withoutBrowser)(
  'a service that is restarted under it costs no event, in any tab',
  async () => {
    await using db = await database()
    await using app = await serveApp()
    const env = { ...quick, CORS_ORIGINS: app.origin, PORT: String(await freePort()) }
    const url = `http://127.0.0.1:${env.PORT}`
    await using chromium = await browser()
    const context = await chromium.newContext()
    let n = 0
    const tabs = []
    for (let restart = 0; restart < 3; restart++) {
      await using service = await serve(db, env)
      if (restart === 0)
        for (let i = 0; i < 2; i++) tabs.push(await openTab(context, app.url(url, '42')))
      for (const tab of tabs) await tab.status('open')
      expect(service.service.streams).toBe(1)
      await publish(db, ++n)
      for (const tab of tabs) await tab.numbers(n)
      // Some are published while nobody serves.
      await service.service.stop()
      await publish(db, ++n)
      for (const tab of tabs) await tab.status('waiting')
    }
    await using _service = await serve(db, env)
    const expected = Array.from({ length: n }, (_, index) => index + 1)
    for (const tab of tabs) {
      expect(await tab.numbers(n)).toEqual(expected)
      // It was away for a moment, while somebody looked: all that is new.
      expect((await tab.heard()).some(({ replayed }) => replayed)).toBe(false)
    }
  },
)

test.skipIf(withoutBrowser)('is back at once when the network is', async () => {
  await using db = await database()
  await using app = await serveApp()
  await using service = await serve(db, { ...quick, CORS_ORIGINS: app.origin, RETRY_MS: '600000' })
  await using chromium = await browser()
  const context = await chromium.newContext()
  const tab = await openTab(context, app.url(service.url, '42'))
  await publish(db, 1)
  await tab.numbers(1)

  await context.setOffline(true)
  await tab.status('waiting')
  await publish(db, 2)
  await context.setOffline(false)
  // Its wait would be of minutes.
  await tab.status('open')
  await publish(db, 3)
  expect(await tab.numbers(3)).toEqual([1, 2, 3])
})

test.skipIf(withoutBrowser)(
  'comes back from whatever a proxy answers while nothing is behind it',
  async () => {
    await using db = await database()
    await using app = await serveApp()
    await using service = await serve(db, { ...quick, CORS_ORIGINS: app.origin })
    await using front = serveFront(() => service.url)
    await using chromium = await browser()
    const tab = await openTab(await chromium.newContext(), app.url(front.url, '42'))
    const answers: [status: number, type: string, reason: string][] = [
      [404, 'text/html', 'http_404'],
      [429, 'text/html', 'http_429'],
      [500, 'text/html', 'http_500'],
      [502, 'text/html', 'http_502'],
      [503, 'application/problem+json', 'http_503'],
      [504, 'text/html', 'http_504'],
      [200, 'text/html', 'not_a_stream'],
    ]
    let n = 0
    for (const [status, type, reason] of answers) {
      front.answerWith(status, type)
      await tab.until(`client.state.reason === '${reason}'`)
      await publish(db, ++n)
      front.answerWith(null)
      await tab.numbers(n)
    }
    expect(await tab.numbers(n)).toEqual(answers.map((_, index) => index + 1))
  },
)

test.skipIf(withoutBrowser)('notices a connection on which nothing comes any more', async () => {
  await using db = await database()
  await using app = await serveApp()
  await using service = await serve(db, { ...quick, CORS_ORIGINS: app.origin })
  await using proxy = await proxyTo(Number(new URL(service.url).port))
  await using chromium = await browser()
  const url = app.url(`http://127.0.0.1:${proxy.port}`, '42', { stallMs: 1000 })
  const tab = await openTab(await chromium.newContext(), url)
  await publish(db, 1)
  await tab.numbers(1)

  proxy.cut()
  await publish(db, 2)
  await tab.until(`states.includes('waiting stalled')`)
  proxy.heal()
  await tab.status('open')
  await publish(db, 3)
  expect(await tab.numbers(3)).toEqual([1, 2, 3])
})

test.skipIf(withoutBrowser)('stops for good after 204, until it is asked', async () => {
  await using db = await database()
  await using app = await serveApp()
  await using service = await serve(db, { ...quick, CORS_ORIGINS: app.origin })
  await using front = serveFront(() => service.url)
  await using chromium = await browser()
  front.answerWith(204)
  const page = await (await chromium.newContext()).newPage()
  await page.goto(app.url(front.url, '42'))
  await eventually(() => page.evaluate(`globalThis.client?.state.reason === 'ended'`))
  front.answerWith(null)
  await page.evaluate('client.connect()')
  await eventually(() => page.evaluate(`client.status === 'open'`))
})
