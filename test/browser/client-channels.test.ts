import { expect, test } from 'bun:test'
import { serveApp } from '../support/app.ts'
import { browser, withoutBrowser } from '../support/browser.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'
import { openTab, type Tab } from '../support/tab.ts'

const publish = ({ sql }: TestDatabase, n: number, ...channels: string[]) =>
  sql`select kairan.publish(${channels}::text[], ${sql.json({ n })}, 'step')`

/** Users may read `run-…` by the claim of their tokens, and `org-7` as members. */
const world = async (settings: Record<string, string> = {}) => {
  const stack = new AsyncDisposableStack()
  const db = stack.use(await database())
  const app = stack.use(await serveApp())
  const service = stack.use(
    await serve(db, { CORS_ORIGINS: app.origin, HEARTBEAT_MS: '200', ...settings }),
  )
  const chromium = stack.use(await browser())
  const context = await chromium.newContext()
  await db.sql`insert into kairan.members values ('org-7', '42'), ('org-8', '43')`
  return {
    ...{ db, app, service, chromium, context },
    open: (user = '42', options = {}) => openTab(context, app.url(service.url, user, options)),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** Has a tab listen to a channel: what it hears is in `heard[name]`, what is refused in `refused`. */
const listen = (tab: Tab, name: string, type = '*') =>
  tab.page.evaluate(`
    window.heard ??= {}; window.stops ??= {}; window.refused ??= []
    heard['${name}'] ??= []
    stops['${name}'] = client.channel('${name}').on('${type}',
      ({ payload }) => heard['${name}'].push(payload.n),
      () => refused.push('${name}'))
    void 0
  `)

const stop = (tab: Tab, name: string) => tab.page.evaluate(`stops['${name}']()`)
const heard = (tab: Tab, name: string) => tab.page.evaluate<number[]>(`heard['${name}']`)

/** Waits until the streams of a user carry exactly these of the channels that start like that. */
const carried = async ({ sql }: TestDatabase, user: string, ...names: string[]) => {
  const wanted = names.toSorted().join()
  await eventually(async () => {
    const rows = await sql<{ name: string }[]>`
      select distinct c.name from kairan.streams s
      cross join jsonb_array_elements_text(s.channels) c (name)
      where s.user_id = ${user} and (c.name like 'run-%' or c.name like 'org-%') order by 1`
    return rows.map(({ name }) => name).join() === wanted
  })
}

test.skipIf(withoutBrowser)(
  'a channel is carried while somebody listens to it; tabs share the union, and each hears its own',
  async () => {
    await using it = await world()
    const [one, two] = [await it.open(), await it.open()]
    const ben = await it.open('43')
    await listen(one, 'run-a')
    await listen(two, 'run-b')
    await listen(two, 'run-a', 'step')
    await listen(ben, 'run-c')
    await carried(it.db, '42', 'org-7', 'run-a', 'run-b')
    await carried(it.db, '43', 'org-8', 'run-c')
    expect(it.service.service.streams).toBe(2)

    await publish(it.db, 1, 'run-a')
    await publish(it.db, 2, 'run-b')
    await publish(it.db, 3, 'run-c')
    await publish(it.db, 4, 'all-users')
    for (const tab of [one, two, ben]) await tab.numbers(1)
    expect(await heard(one, 'run-a')).toEqual([1])
    expect(await heard(two, 'run-a')).toEqual([1])
    expect(await heard(two, 'run-b')).toEqual([2])
    expect(await heard(ben, 'run-c')).toEqual([3])
    // The listeners of none hear what the stream carries anyway.
    for (const tab of [one, two, ben]) expect(await tab.numbers(1)).toEqual([4])

    await stop(one, 'run-a')
    await stop(two, 'run-b')
    await carried(it.db, '42', 'org-7', 'run-a')
    await publish(it.db, 5, 'run-a', 'run-b')
    await publish(it.db, 6, 'all-users')
    await two.numbers(2)
    expect(await heard(one, 'run-a')).toEqual([1])
    expect(await heard(two, 'run-a')).toEqual([1, 5])
    expect(await heard(two, 'run-b')).toEqual([2])
    await stop(two, 'run-a')
    await carried(it.db, '42', 'org-7')
  },
)

test.skipIf(withoutBrowser)(
  'a channel that the stream carries anyway is heard in both ways, also beside another channel',
  async () => {
    await using it = await world()
    const tab = await it.open()
    await listen(tab, 'org-7')
    await publish(it.db, 1, 'org-7')
    await publish(it.db, 2, 'user-42', 'org-7')
    await publish(it.db, 3, 'all-users')
    expect(await tab.numbers(3)).toEqual([1, 2, 3])
    expect(await heard(tab, 'org-7')).toEqual([1, 2])
    await stop(tab, 'org-7')
    await publish(it.db, 4, 'org-7')
    expect(await tab.numbers(4)).toEqual([1, 2, 3, 4])
    expect(await heard(tab, 'org-7')).toEqual([1, 2])
  },
)

test.skipIf(withoutBrowser)(
  'channels are resumed after cuts, also by the tab that goes on when the first is closed or crashes',
  async () => {
    await using it = await world()
    const [one, two, three] = [await it.open(), await it.open(), await it.open()]
    await listen(two, 'run-a')
    await listen(three, 'run-b')
    await carried(it.db, '42', 'org-7', 'run-a', 'run-b')
    let n = 0
    const expectAll = async () => {
      for (const name of ['run-a', 'run-b']) await publish(it.db, ++n, name)
      const all = Array.from({ length: n }, (_, index) => index + 1)
      await eventually(async () => (await heard(two, 'run-a')).length === n / 2)
      await eventually(async () => (await heard(three, 'run-b')).length === n / 2)
      expect(await heard(two, 'run-a')).toEqual(all.filter(number => number % 2 === 1))
      expect(await heard(three, 'run-b')).toEqual(all.filter(number => number % 2 === 0))
    }
    await expectAll()
    for (let cut = 0; cut < 3; cut++) {
      await it.context.setOffline(true)
      for (const tab of [two, three]) await tab.status('waiting')
      for (const name of ['run-a', 'run-b']) await publish(it.db, ++n, name)
      await it.context.setOffline(false)
      await expectAll()
    }
    // What is published while nobody leads is not lost, either.
    await one.page.close()
    await expectAll()
    const cdp = await two.page.context().newCDPSession(two.page)
    void cdp.send('Page.crash').catch(() => undefined)
    for (let more = 0; more < 20; more++) await publish(it.db, ++n, 'run-b')
    await eventually(async () => (await heard(three, 'run-b')).length === n / 2 + 10)
  },
)

test.skipIf(withoutBrowser)(
  'who listens to a channel that may not be read is told so once, in whichever tab, and also later',
  async () => {
    await using it = await world({ MAX_CHANNELS: '5' })
    const [one, two] = [await it.open(), await it.open()]
    await listen(one, 'run-a')
    await listen(two, 'org-8')
    await listen(two, 'no channel')
    for (const name of ['org-8', 'no channel']) {
      await two.until(`refused.includes('${name}')`)
    }
    // The others are not harmed by it.
    await carried(it.db, '42', 'org-7', 'run-a')
    await listen(one, 'org-8')
    await one.until(`refused.length === 1`)
    await listen(one, 'run-b')
    await listen(one, 'run-c')
    await one.until(`refused.includes('run-c')`)
    expect(await two.page.evaluate<unknown>('refused.length')).toBe(2)
    await publish(it.db, 1, 'run-b')
    await one.until(`heard['run-b'].length === 1`)

    // It is carried once it may be read.
    await it.db.sql`delete from kairan.members where user_id = '42'`
    await it.db.sql`insert into kairan.members values ('org-8', '42')`
    await publish(it.db, 2, 'org-8')
    for (const tab of [one, two]) await tab.until(`heard['org-8'].length === 1`)
    // And who listens hears that it no longer may be.
    await it.db.sql`delete from kairan.members where user_id = '42'`
    await one.until(`refused.filter(name => name === 'org-8').length === 2`)
  },
)

test.skipIf(withoutBrowser)(
  'tabs say little to one another while a channel that they listen to is not carried yet',
  async () => {
    await using it = await world({ HEARTBEAT_MS: '1000' })
    await it.context.addInitScript(`
      globalThis.said = 0
      globalThis.BroadcastChannel = class extends BroadcastChannel {
        postMessage(message) { said++; super.postMessage(message) }
      }`)
    const [one, two, three] = [await it.open(), await it.open(), await it.open()]
    const said = ({ page }: Tab) => page.evaluate<number>('said')
    const all = async () => (await said(one)) + (await said(two)) + (await said(three))
    // The leading tab is told late, so that each word of it could bring others.
    await it.context.route('**/channels', async route => {
      await Bun.sleep(300)
      await route.continue()
    })
    const before = await all()
    await listen(one, 'run-a')
    await listen(two, 'run-b')
    await listen(three, 'run-c')
    await carried(it.db, '42', 'org-7', 'run-a', 'run-b', 'run-c')
    expect((await all()) - before).toBeLessThan(100)
  },
)

test.skipIf(withoutBrowser)(
  'a tab that does not hear all that the others say gets what it listens to',
  async () => {
    await using it = await world()
    await it.context.addInitScript(`globalThis.BroadcastChannel = class extends BroadcastChannel {
      set onmessage(hear) {
        super.onmessage = event => { if (Math.random() > 0.3) hear(event) }
      }
    }`)
    const tabs = [await it.open(), await it.open(), await it.open()]
    for (const [index, tab] of tabs.entries()) await listen(tab, `run-${index}`)
    await carried(it.db, '42', 'org-7', 'run-0', 'run-1', 'run-2')
    for (let n = 1; n <= 20; n++) await publish(it.db, n, 'run-0', 'run-1', 'run-2')
    for (const [index, tab] of tabs.entries()) {
      await tab.until(`heard['run-${index}'].length >= 20`)
      expect(await heard(tab, `run-${index}`)).toEqual(
        Array.from({ length: 20 }, (_, index) => index + 1),
      )
    }
  },
)

test.skipIf(withoutBrowser)(
  'what is listened to right after the client was made is resumed across page loads',
  async () => {
    await using it = await world()
    const url = `${it.app.url(it.service.url, '42')}&listen=run-a`
    const tab = await openTab(it.context, url)
    await publish(it.db, 1, 'run-a')
    await tab.until('heard.length === 1')
    await tab.page.goto(`${it.app.origin}/elsewhere`)
    await publish(it.db, 2, 'run-a')
    await tab.page.goto(url)
    await tab.until('heard.length === 1')
    expect(await tab.page.evaluate<unknown>('heard')).toEqual([2])
  },
)
