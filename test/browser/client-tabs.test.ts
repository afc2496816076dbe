import { expect, test } from 'bun:test'
import { serveApp } from '../support/app.ts'
import { browser, withoutBrowser } from '../support/browser.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'
import { openTab, tabOf } from '../support/tab.ts'

const publish = ({ sql }: TestDatabase, n: number, channel = 'all-users') =>
  sql`select kairan.publish(${channel}, ${sql.json({ n })})`

const world = async () => {
  const stack = new AsyncDisposableStack()
  const db = stack.use(await database())
  const app = stack.use(await serveApp())
  const service = stack.use(await serve(db, { CORS_ORIGINS: app.origin, HEARTBEAT_MS: '200' }))
  const chromium = stack.use(await browser())
  const context = await chromium.newContext()
  return {
    ...{ db, app, service, chromium, context },
    open: (user = '42', options = {}) => openTab(context, app.url(service.url, user, options)),
    get streams() {
      return service.service.streams
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** Counts in `mostStreams` how many streams a tab has had at once that it had not given up. */
const countStreams = `
  globalThis.mostStreams = 0
  let streams = 0
  const send = fetch
  globalThis.fetch = (url, init) => {
    if (String(url).includes('/notifications/stream?') && !init.signal.aborted) {
      mostStreams = Math.max(mostStreams, ++streams)
      init.signal.addEventListener('abort', () => streams--)
    }
    return send(url, init)
  }`

test.skipIf(withoutBrowser)(
  'two tabs share one connection; when the one that holds it is closed, the other goes on',
  async () => {
    await using it = await world()
    const first = await it.open()
    const second = await it.open()
    expect(it.streams).toBe(1)

    await publish(it.db, 1)
    await first.numbers(1)
    await second.numbers(1)
    await first.page.close()
    await publish(it.db, 2)
    await second.numbers(2)
    await publish(it.db, 3)
    expect(await second.numbers(3)).toEqual([1, 2, 3])
    await eventually(() => it.streams === 1)
  },
)

test.skipIf(withoutBrowser)(
  'when the tab that holds the connection crashes, the others miss nothing and hear nothing twice',
  async () => {
    await using it = await world()
    const tabs = [await it.open(), await it.open(), await it.open()]
    let n = 0
    for (let [doomed] = tabs; tabs.length > 1; doomed = tabs[0]) {
      for (const end = n + 20; n < end; ) await publish(it.db, ++n)
      const cdp = await doomed?.page.context().newCDPSession(doomed.page)
      // It does not answer: there is nobody left to do so.
      void cdp?.send('Page.crash').catch(() => undefined)
      tabs.shift()
      for (const end = n + 20; n < end; ) await publish(it.db, ++n)
    }
    const expected = Array.from({ length: n }, (_, index) => index + 1)
    expect(await tabs[0]?.numbers(n)).toEqual(expected)
    await eventually(() => it.streams === 1)
  },
)

test.skipIf(withoutBrowser)('takes the connection from a tab that hangs', async () => {
  await using it = await world()
  const first = await it.open('42', { stallMs: 1000 })
  const second = await it.open('42', { stallMs: 1000 })
  await publish(it.db, 1)
  await second.numbers(1)

  await first.page.evaluate('setTimeout(() => { for (;;); })')
  await publish(it.db, 2)
  await publish(it.db, 3)
  expect(await second.numbers(3)).toEqual([1, 2, 3])
})

test.skipIf(withoutBrowser)(
  'keeps users apart who use one browser, and tabs without a key',
  async () => {
    await using it = await world()
    const aiko = await it.open('42')
    const ben = await it.open('43')
    const alone = await it.open('42', { key: undefined })
    expect(it.streams).toBe(3)
    await publish(it.db, 1, 'user-42')
    await publish(it.db, 2, 'user-43')
    expect(await aiko.numbers(1)).toEqual([1])
    expect(await alone.numbers(1)).toEqual([1])
    expect(await ben.numbers(1)).toEqual([2])

    const own = await it.open('42', { shareConnection: false })
    expect(it.streams).toBe(4)
    await publish(it.db, 3, 'user-42')
    expect(await own.numbers(1)).toEqual([3])
  },
)

test.skipIf(withoutBrowser)(
  'a tab that does not hear all that the others say asks for what it has missed',
  async () => {
    await using it = await world()
    // What browsers do not promise: that each message between tabs arrives.
    await it.context.addInitScript(`globalThis.BroadcastChannel = class extends BroadcastChannel {
      set onmessage(hear) {
        super.onmessage = event => { if (Math.random() > 0.1) hear(event) }
      }
    }`)
    await it.context.addInitScript(countStreams)
    const tabs = [await it.open(), await it.open(), await it.open()]
    for (let n = 1; n <= 100; n++) await publish(it.db, n)
    const expected = Array.from({ length: 100 }, (_, index) => index + 1)
    for (const tab of tabs) expect(await tab.numbers(100)).toEqual(expected)
    // Each time that one asks, the stream begins again: the one before was given up first.
    const most = await Promise.all(tabs.map(({ page }) => page.evaluate<number>('mostStreams')))
    expect(most.toSorted()).toEqual([0, 0, 1])
    // The service counts the one before until it has noticed that.
    await eventually(() => it.streams === 1)
  },
)

test.skipIf(withoutBrowser)(
  'where the browser has no locks, each tab has its own connection',
  async () => {
    await using it = await world()
    await it.context.addInitScript(
      `Object.defineProperty(navigator, 'locks', { value: undefined })`,
    )
    const tabs = [await it.open(), await it.open()]
    expect(it.streams).toBe(2)
    await publish(it.db, 1)
    for (const tab of tabs) expect(await tab.numbers(1)).toEqual([1])
  },
)

test.skipIf(withoutBrowser)(
  'what ends for one tab ends for all, and comes back for all when one asks',
  async () => {
    await using it = await world()
    const tabs = [await it.open(), await it.open()]
    await it.db.sql`select kairan.disconnect('42')`
    for (const tab of tabs) {
      await tab.status('closed')
      expect(await tab.page.evaluate<unknown>('client.state.reason')).toBe('revoked')
    }
    await publish(it.db, 1)
    await tabs[1]?.page.evaluate('client.connect()')
    for (const tab of tabs) {
      await tab.status('open')
      expect(await tab.numbers(1)).toEqual([1])
    }
    expect(it.streams).toBe(1)

    // Nor does the next tab ask again by itself when the first is closed.
    await it.db.sql`select kairan.disconnect('42')`
    for (const tab of tabs) await tab.status('closed')
    await tabs[0]?.page.close()
    // The lock of a page that was closed is held for a moment, and then the next one's.
    await tabs[1]?.until(
      `navigator.locks.query().then(({ held, pending }) => held.length === 1 && pending.length === 0)`,
    )
    expect(await tabs[1]?.page.evaluate<unknown>('states.at(-1)')).toBe('closed revoked')
    await tabs[1]?.page.evaluate('client.connect()')
    await tabs[1]?.status('open')
  },
)

test.skipIf(withoutBrowser)(
  'a tab that asks while the one that holds the connection goes is connected when it holds it',
  async () => {
    await using it = await world()
    const [first, second] = [await it.open(), await it.open()]
    await it.db.sql`select kairan.disconnect('42')`
    for (const tab of [first, second]) await tab.status('closed')
    // Nobody hears what the second one asks.
    await second.page.evaluate(`
      BroadcastChannel.prototype.postMessage = () => undefined
      client.connect()`)
    await first.page.close()
    await second.status('open')
  },
)

test.skipIf(withoutBrowser)('a tab that closes its client leaves the others alone', async () => {
  await using it = await world()
  const [first, second] = [await it.open(), await it.open()]
  await first.page.evaluate('client.close()')
  await first.status('closed')
  await publish(it.db, 1)
  expect(await second.numbers(1)).toEqual([1])
  expect(await first.heard()).toEqual([])
  await second.page.evaluate('client.close()')
  await eventually(() => it.streams === 0)
})

test.skipIf(withoutBrowser)(
  'a tab that is loaded again gets what the others had meanwhile',
  async () => {
    await using it = await world()
    const first = await it.open()
    const second = await it.open()
    await publish(it.db, 1)
    await second.numbers(1)
    await second.page.goto(`${it.app.origin}/elsewhere`)
    await publish(it.db, 2)
    await publish(it.db, 3)
    await first.numbers(3)
    await second.page.goBack()
    await second.status('open')
    await publish(it.db, 4)
    expect(await second.numbers(4)).toEqual([1, 2, 3, 4])
    expect((await second.heard()).map(({ replayed }) => replayed)).toEqual([
      ...[false, true, true, false],
    ])
    expect(await first.numbers(4)).toEqual([1, 2, 3, 4])
    expect((await first.heard()).some(({ replayed }) => replayed)).toBe(false)
    await eventually(() => it.streams === 1)

    // One that is opened beside them is not told what they have seen.
    const third = tabOf(await it.context.newPage())
    await third.page.goto(it.app.url(it.service.url, '42'))
    await third.status('open')
    await publish(it.db, 5)
    expect(await third.numbers(1)).toEqual([5])
  },
)
