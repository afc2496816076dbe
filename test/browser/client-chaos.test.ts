import { expect, test } from 'bun:test'
import { createRandom } from '../faults/random.ts'
import { serveApp } from '../support/app.ts'
import { browser, withoutBrowser } from '../support/browser.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/port.ts'
import { proxyTo } from '../support/proxy.ts'
import { serve, type TestService } from '../support/service.ts'
import { openTab, type Tab, tabOf } from '../support/tab.ts'

const seconds = Number(process.env.CLIENT_CHAOS_SECONDS ?? 15)
const seed = Number(process.env.CLIENT_CHAOS_SEED ?? Date.now() % 1_000_000)

/** What of a run of numbers is not there, there twice, or not in its order. */
const compare = (numbers: number[]) => {
  const [first = 1] = numbers
  const last = numbers.at(-1) ?? first - 1
  return {
    missed: last - first + 1 - new Set(numbers).size,
    repeated: numbers.length - new Set(numbers).size,
    disordered: numbers.filter((n, index) => n < (numbers[index - 1] ?? 0)).length,
  }
}

test.skipIf(withoutBrowser)(
  `loses and repeats nothing in ${seconds} s of cuts, restarts, crashes and page loads`,
  async () => {
    const random = createRandom(seed)
    await using db = await database()
    await using app = await serveApp()
    const env = {
      ...{ RETRY_MS: '50', HEARTBEAT_MS: '200', MAX_STREAM_AGE_MS: '3000' },
      ...{ CORS_ORIGINS: app.origin, PORT: String(await freePort()), REPLAY_LIMIT: '1000000' },
    }
    let service: TestService = await serve(db, env)
    await using proxy = await proxyTo(Number(env.PORT))
    await using chromium = await browser({
      ignoreDefaultArgs: ['--disable-back-forward-cache'],
    })
    const context = await chromium.newContext()
    const url = app.url(`http://127.0.0.1:${proxy.port}`, '42', { stallMs: 1000 })
    const tabs: Tab[] = []
    for (let i = 0; i < 3; i++) tabs.push(await openTab(context, url))

    let published = 0
    let isOver = false
    const publishing = (async () => {
      while (!isOver) {
        await db.sql`select kairan.publish('all-users', ${db.sql.json({ n: ++published })})`
        if (published % 10 === 0) await Bun.sleep(random.between(0, 50))
      }
    })()

    const total = { missed: 0, repeated: 0, disordered: 0 }
    const ended: number[] = []
    const check = async (tab: Tab) => {
      const numbers = (await tab.heard()).map(({ n }) => n)
      ended.push(numbers.length)
      const found = compare(numbers)
      total.missed += found.missed
      total.repeated += found.repeated
      total.disordered += found.disordered
    }
    const open = async () => {
      const tab = tabOf(await context.newPage())
      await tab.page.goto(url)
      tabs.push(tab)
    }
    const takeOne = () => tabs.splice(random.integer(0, tabs.length - 1), 1)[0]

    const faults: Record<string, () => Promise<void>> = {
      async reset() {
        proxy.reset()
      },
      async cut() {
        proxy.cut()
        await Bun.sleep(random.between(0, 1500))
        proxy.heal()
      },
      async offline() {
        await context.setOffline(true)
        await Bun.sleep(random.between(0, 500))
        await context.setOffline(false)
      },
      async restart() {
        await service.service.stop()
        service = await serve(db, env)
      },
      async close() {
        const tab = takeOne()
        if (!tab) return
        // A page that has just come back may still be loading.
        await tab.until('globalThis.client !== undefined')
        // What it heard is asked for before: nothing that it hears later can be told.
        await tab.page.evaluate('client.close()')
        await check(tab)
        await tab.page.close()
        await open()
      },
      async crash() {
        const tab = takeOne()
        if (!tab) return
        // What it has heard until now: a tab that has crashed says nothing.
        await tab.until('globalThis.seen !== undefined')
        await check(tab)
        const cdp = await context.newCDPSession(tab.page)
        await Promise.race([cdp.send('Page.crash').catch(() => undefined), Bun.sleep(500)])
        await tab.page.close()
        await open()
      },
      async reload() {
        await random.pick(tabs).page.reload()
      },
      async awayAndBack() {
        const { page } = random.pick(tabs)
        await page.goto(`${app.origin}/elsewhere`)
        await Bun.sleep(random.between(0, 300))
        await page.goBack({ waitUntil: 'commit' })
      },
    }
    const done: Record<string, number> = {}
    const end = Date.now() + seconds * 1000
    while (Date.now() < end) {
      const name = random.pick(Object.keys(faults))
      await faults[name]?.()
      done[name] = (done[name] ?? 0) + 1
      await Bun.sleep(random.between(0, 400))
    }
    isOver = true
    await publishing
    const report = async (error: unknown) => {
      const facts = `[location.pathname, document.visibilityState, globalThis.client?.state, globalThis.seen?.at(-1), states.slice(-8)]`
      for (const { page } of tabs) {
        console.log(await Promise.race([page.evaluate(facts).catch(String), Bun.sleep(1000)]))
      }
      console.log({ seed, published, done, streams: service.service.streams })
      throw error
    }
    for (const tab of tabs) {
      await tab.until(`globalThis.seen?.at(-1)?.n === ${published}`).catch(report)
      await check(tab)
    }
    // They share one, and a tab that heard nothing for a second may just be asking for another.
    await eventually(() => service.service.streams === 1).catch(report)
    const streams = service.service.streams
    await service.service.stop()
    const heard = ended.reduce((sum, count) => sum + count, 0)
    const facts = { seed, published, heard, tabs: ended.length, ...total, ...done }
    console.log(`client chaos: ${JSON.stringify(facts)}`)
    expect({ ...total, streams, seed }).toEqual({
      ...{ missed: 0, repeated: 0, disordered: 0, streams: 1, seed },
    })
    // Each of several tabs hears all that comes while it is there.
    expect(heard).toBeGreaterThan(published / 2)
  },
  (seconds + 60) * 1000,
)
