import { expect, test } from 'bun:test'
import { serveApp } from '../support/app.ts'
import { browser, withoutBrowser } from '../support/browser.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'
import { openTab } from '../support/tab.ts'

const publish = ({ sql }: TestDatabase, n: number, channel = 'all-users') =>
  sql`select kairan.publish(${channel}, ${sql.json({ n })})`

/** Waits until so many have their place in the log: those before where a stream begins are old to it. */
const numbered = ({ sql }: TestDatabase, count: number) =>
  eventually(async () => (await sql`select from kairan.numbered`).length === count)

const world = async () => {
  const stack = new AsyncDisposableStack()
  const db = stack.use(await database())
  const app = stack.use(await serveApp())
  const service = stack.use(await serve(db, { CORS_ORIGINS: app.origin, RETRY_MS: '50' }))
  // Playwright switches the back/forward cache off.
  const chromium = stack.use(await browser({ ignoreDefaultArgs: ['--disable-back-forward-cache'] }))
  const context = await chromium.newContext()
  return {
    ...{ db, app, service, context },
    open: (user = '42', options = {}) => openTab(context, app.url(service.url, user, options)),
    get streams() {
      return service.service.streams
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

test.skipIf(withoutBrowser)('a page that is loaded again goes on where it was', async () => {
  await using it = await world()
  const tab = await it.open()
  await publish(it.db, 1)
  await tab.numbers(1)
  await tab.page.goto(`${it.app.origin}/elsewhere`)
  await eventually(() => it.streams === 0)
  await publish(it.db, 2)
  await numbered(it.db, 2)
  await tab.page.goto(it.app.url(it.service.url, '42'))
  await tab.numbers(2)
  await publish(it.db, 3)
  await tab.numbers(3)
  await tab.page.reload()
  await tab.status('open')
  await publish(it.db, 4)
  expect(await tab.numbers(4)).toEqual([1, 2, 3, 4])
  expect((await tab.heard()).map(({ replayed }) => replayed)).toEqual([false, true, false, false])
})

test.skipIf(withoutBrowser)(
  'a new tab goes on where the browser was, for the same user',
  async () => {
    await using it = await world()
    const tab = await it.open()
    await publish(it.db, 1)
    await tab.numbers(1)
    await tab.page.close()
    await publish(it.db, 2)
    await numbered(it.db, 2)

    const next = await it.open()
    expect(await next.numbers(1)).toEqual([2])
    expect((await next.heard()).map(({ replayed }) => replayed)).toEqual([true])
    const other = await it.open('43')
    const forgetful = await it.open('42', { resume: false, shareConnection: false })
    await publish(it.db, 3)
    expect(await next.numbers(2)).toEqual([2, 3])
    expect(await other.numbers(1)).toEqual([3])
    expect(await forgetful.numbers(1)).toEqual([3])
  },
)

test.skipIf(withoutBrowser)('what was pending for a user comes as replayed', async () => {
  await using it = await world()
  await publish(it.db, 1, 'user-42')
  await publish(it.db, 2, 'user-42')
  await numbered(it.db, 2)
  const tab = await it.open()
  await tab.numbers(2)
  await publish(it.db, 3, 'user-42')
  expect(await tab.numbers(3)).toEqual([1, 2, 3])
  expect((await tab.heard()).map(({ replayed }) => replayed)).toEqual([true, true, false])
})

test.skipIf(withoutBrowser)('a notification on two channels comes once', async () => {
  await using it = await world()
  await it.db.sql`insert into kairan.roles (user_id, role_level) values ('42', 100)`
  const tab = await it.open()
  await it.db.sql`select kairan.publish('{user-42,admin-dashboard,all-users}'::text[], '{"n": 1}')`
  await publish(it.db, 2)
  expect(await tab.numbers(2)).toEqual([1, 2])
})

test.skipIf(withoutBrowser)(
  'says that there is a gap when what was missed is no longer held',
  async () => {
    await using it = await world()
    const tab = await it.open()
    await publish(it.db, 1)
    await tab.numbers(1)
    await tab.page.goto(`${it.app.origin}/elsewhere`)
    await eventually(() => it.streams === 0)
    // As after a restore from a backup: this browser's cursor is of another log.
    await it.db.sql`update kairan.log_state set epoch = 'restored'`
    await publish(it.db, 2)
    await it.service.service.stop()
    const env = { CORS_ORIGINS: it.app.origin, RETRY_MS: '50' }
    await using service = await serve(it.db, { ...env, PORT: new URL(it.service.url).port })
    await tab.page.goto(it.app.url(service.url, '42'))
    await tab.until(`globalThis.controls?.some(({ type }) => type === 'gap')`)
    await publish(it.db, 3)
    await eventually(async () => (await tab.heard()).at(-1)?.n === 3)
    await tab.page.reload()
    await tab.status('open')
    await publish(it.db, 4)
    await eventually(async () => (await tab.heard()).at(-1)?.n === 4)
    expect(await tab.page.evaluate<unknown>('controls.map(({ type }) => type)')).toEqual(['ready'])
  },
)

test.skipIf(withoutBrowser)(
  'a page in the back/forward cache has no connection, and goes on when it comes back',
  async () => {
    await using it = await world()
    const tab = await it.open()
    await publish(it.db, 1)
    await tab.numbers(1)
    await tab.page.evaluate(`
      window.isTheSame = true
      addEventListener('pageshow', ({ persisted }) => { window.isRestored = persisted })`)
    await tab.page.goto(`${it.app.origin}/elsewhere`)
    await eventually(() => it.streams === 0)
    await publish(it.db, 2)
    await tab.page.goBack({ waitUntil: 'commit' })
    await tab.until('window.isTheSame && window.isRestored')
    await tab.status('open')
    await publish(it.db, 3)
    expect(await tab.numbers(3)).toEqual([1, 2, 3])
    expect(it.streams).toBe(1)
  },
)
