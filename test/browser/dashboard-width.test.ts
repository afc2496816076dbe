import { expect, test } from 'bun:test'
import type { Page } from 'playwright-core'
import { findings } from '../support/axe.ts'
import { browser, withoutBrowser } from '../support/browser.ts'
import { openReady } from '../support/client.ts'
import { cutOff, goTo, makeAdmin, openDashboard } from '../support/dashboard.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { serve, tokenFor } from '../support/service.ts'

const widths = [390, 768, 1280]

/** Saves what a page looks like, where SCREENSHOTS names a folder. */
const picture = async (page: Page, name: string) => {
  const folder = process.env.SCREENSHOTS
  if (folder) await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true })
}

test.skipIf(withoutBrowser)(
  'cuts nothing off on a phone, a tablet and a desk, and axe-core finds nothing',
  async () => {
    await using db = await database()
    await using service = await serve(db)
    await makeAdmin(db)
    await using alice = await openReady(service.url, { token: await tokenFor('alice') })
    const type = 'a.rather.long.type.of.a.notification.that.somebody.has.chosen'
    const [row] = await db.sql`select kairan.publish('user-alice', '{"a": 1}', ${type}) as id`
    await alice.atLeast(1)
    await db.sql`
      insert into kairan.audit (actor, action, target, detail)
      values ('boss', 'disconnect', 'a-user-with-a-rather-long-name', '{"channel": "user-alice"}')`
    await db.sql`
      insert into kairan.follow_ups (
        notification_id, user_id, channel, type, payload, published_at, due_at, attempts, finished_at, error
      )
      values (
        gen_random_uuid(), 'a-user-with-a-rather-long-name', 'user-a', ${type}, '{}', now(), now(), 7, now(),
        'given up: no such mailbox'
      )`
    await db.sql`
      insert into kairan.scheduled (channels, payload, type, send_at, error)
      values ('{user-a,org-7,a-channel-with-a-rather-long-name}', '{}', ${type}, now() - interval '1 hour',
        'kairan: the payload has 70000 bytes, and at most 65536 are allowed')`
    await using chromium = await browser()
    for (const width of widths) {
      const { page } = await openDashboard(chromium, service.url, width)
      await page.getByText('Users online').waitFor()
      await page.emulateMedia({ colorScheme: width === 768 ? 'dark' : 'light' })
      const pages = [
        ['overview', 'ready'],
        ['streams', 'alice'],
        // Not only its detail, which can be there before its list is.
        [`notifications?open=${row?.id}`, '"a": 1', '.opened'],
        [`explain?notification=${row?.id}&user=alice`, 'Delivered on'],
        ['try', 'Your stream'],
        ['scheduled', 'the payload has 70000 bytes'],
        ['follow-ups', 'no such mailbox'],
        ['audit', 'disconnect'],
        ['system', 'Settings of this instance'],
      ]
      for (const [hash = '', text = '', within = 'body'] of pages) {
        await goTo(page, hash)
        await page.locator(within).getByText(new RegExp(text)).first().waitFor()
        await picture(page, `${width}-${hash.split('?')[0]}`)
        expect([width, hash, await cutOff(page)]).toEqual([width, hash, []])
        expect([width, hash, await findings(page)]).toEqual([width, hash, []])
      }
    }
  },
  // 27 pages, each looked at by axe-core: a busy machine needs most of a minute.
  120_000,
)

/** As long as such a name may be, without a place to break a line. */
const longest = (begin: string, length: number) => begin.padEnd(length, '_long')
const admin = longest('boss', 200)
const user = longest('user', 200)
const team = longest('team', 205)
const type = longest('type', 200)
const error = longest('error', 500)

test.skipIf(withoutBrowser)(
  'shows the longest names whole at each width, in each state of its pages',
  async () => {
    await using db = await database()
    const origin = `https://${'example.'.repeat(20)}org`
    await using service = await serve(db, { CORS_ORIGINS: origin })
    await makeAdmin(db, admin)
    await db.sql`insert into kairan.members (channel, user_id) values (${team}, ${user})`
    await using stream = await openReady(service.url, { token: await tokenFor(user) })
    const { failed, scheduled } = await writeLongest(db, () => stream.atLeast(1))
    await using chromium = await browser()
    const { page } = await openDashboard(chromium, service.url, 390, { userId: admin })
    const detail = page.getByLabel('Notification', { exact: true })
    const publish = page.getByRole('button', { name: 'Publish' })
    const cut: unknown[] = []
    const look = async (state: string) => {
      for (const width of widths) {
        await page.setViewportSize({ width, height: 800 })
        await picture(page, `${width}-longest-${state}`)
        const found = await cutOff(page)
        if (found.length > 0) cut.push({ state, width, found })
      }
    }
    const see = async (hash: string, text: string, state = hash) => {
      await goTo(page, hash)
      await page.locator('main').getByText(text).first().waitFor()
      await look(state)
    }

    await see('overview', error)
    await see('streams', user)
    const none = new URLSearchParams({ user, channel: longest('other', 205) })
    await see(`streams?${none}`, 'No stream of', 'no stream')
    await see('scheduled', error)
    await see('follow-ups', error)
    await see('audit', user)
    await see('system', error)
    const question = new URLSearchParams({ notification: failed, user })
    await see(`explain?${question}`, error, 'explain')

    // The detail stands above its list while that is not there, and then in it.
    const list = Promise.withResolvers<void>()
    await page.route(/admin\/deliveries\?/, async route => {
      await list.promise
      await route.continue()
    })
    await see(`notifications?open=${failed}`, '"text"', 'detail before its list')
    expect(await page.locator('.opened').count()).toBe(0)
    list.resolve()
    await page.locator('.opened').getByText('"text"').waitFor()
    await look('detail in its list')
    await page.getByRole('button', { name: 'Redeliver all of these' }).click()
    await page.getByText('would be sent again').waitFor()
    await look('question')
    // What is scheduled is in no list of deliveries.
    await goTo(page, `notifications?open=${scheduled}`)
    await detail.getByText('Due').waitFor()
    await look('detail of what is scheduled')

    await goTo(page, 'try')
    await page.getByLabel('Type').fill(type)
    await publish.click()
    await page.getByText('Published:').waitFor()
    await page.locator('.live').getByText('Hello').waitFor()
    await look('published')
    await page.getByLabel('Channel').fill(longest('other', 300))
    await publish.click()
    await page.getByText('This name has 300 characters').waitFor()
    await look('refused')
    expect(cut).toEqual([])
  },
  60_000,
)

/** Writes the longest names wherever the dashboard shows one. Returns the ids of two notifications. */
const writeLongest = async (db: TestDatabase, taken: () => Promise<unknown>) => {
  const key = longest('key', 200)
  const [failed] = await db.sql`
    select kairan.publish(${team}, ${db.sql.json({ text: error })}, ${type}, dedupe_key => ${key}) as id`
  await taken()
  await db.sql`update kairan.numbered set status = 'failed', error = ${error}`
  const [scheduled] = await db.sql`
    insert into kairan.scheduled (channels, payload, type, send_at, error)
    values (${[team, `user-${user}`]}, '{}', ${type}, now() + interval '1 hour', ${error})
    returning id`
  await db.sql`
    insert into kairan.follow_ups (
      notification_id, user_id, channel, type, payload, published_at, due_at, attempts, finished_at, error
    )
    values (gen_random_uuid(), ${user}, ${team}, ${type}, '{}', now(), now(), 7, now(), ${error})`
  await db.sql`
    insert into kairan.audit (actor, action, target, detail)
    values (${admin}, 'disconnect', ${user}, ${db.sql.json({ channel: team })})`
  // Of another instance, which is not ready. It stays alive for as long as the test takes.
  await db.sql`
    insert into kairan.instances (id, seen_at, facts)
    values (gen_random_uuid(), now() + interval '1 hour', ${db.sql.json({ problem: error })})`
  return { failed: String(failed?.id), scheduled: String(scheduled?.id) }
}
