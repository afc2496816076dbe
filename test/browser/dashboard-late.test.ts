import { expect, test } from 'bun:test'
import type { Page, Route } from 'playwright-core'
import { browser, withoutBrowser } from '../support/browser.ts'
import { goTo as goToPage, makeAdmin, openDashboard } from '../support/dashboard.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'

/** Holds the answers of a part of the admin API, each until it is let go. */
const hold = async (page: Page, path: string) => {
  const held: Route[] = []
  await page.route(`**/admin/${path}`, route => void held.push(route))
  return {
    /** Waits for a request. */
    async next() {
      while (held.length === 0) await page.evaluate(() => new Promise(requestAnimationFrame))
      const route = held.shift()
      if (!route) throw new Error('nothing is held')
      return {
        /** Resolves when the page has taken the answer, and drawn itself twice since. */
        async answer() {
          const url = route.request().url()
          const taken = page.waitForResponse(response => response.url() === url)
          await route.continue()
          await (await taken).finished()
          for (const _ of [1, 2]) {
            await page.evaluate(() => new Promise(requestAnimationFrame))
          }
        },
      }
    },
    stop: () => page.unroute(`**/admin/${path}`),
  }
}

test.skipIf(withoutBrowser)('a late answer is not shown for what was asked after it', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  const publish = async (n: number) => {
    const [row] = await db.sql`
      select kairan.publish(${`user-${n}`}, ${db.sql.json({ n })}, ${`type${n}`}) as id`
    return String(row?.id)
  }
  const [one, two] = [await publish(1), await publish(2)]
  await using chromium = await browser()
  const { page, complaints } = await openDashboard(chromium, service.url)
  await page.getByText('on 1 instance', { exact: true }).waitFor()
  const goTo = (hash: string) => goToPage(page, hash)

  // The detail of a notification. None is in the list, so that it is one place for both.
  const detail = page.getByLabel('Notification', { exact: true })
  const details = await hold(page, 'notifications/*')
  const open = (id: string) => goTo(`notifications?channel=nobody&open=${id}`)
  await open(one)
  const first = await details.next()
  await open(two)
  await (await details.next()).answer()
  await detail.getByText('"n": 2').waitFor()
  await first.answer()
  expect(await detail.textContent()).toContain('"n": 2')
  // Nor what was there before, while the answer is on its way.
  await detail.getByRole('button', { name: 'Withdraw' }).click()
  await open(one)
  await detail.getByText('"n": 2').waitFor({ state: 'detached' })
  await (await details.next()).answer()
  await detail.getByText('"n": 1').waitFor()
  expect(await detail.getByRole('button', { name: 'Sure?' }).count()).toBe(0)
  await details.stop()

  const explanations = await hold(page, 'explain*')
  const explain = (user: string) => goTo(`explain?notification=${one}&user=${user}`)
  await explain('1')
  const ofOne = await explanations.next()
  await explain('2')
  await (await explanations.next()).answer()
  const sentence = page.locator('.sentence').first()
  const ofTwo = await sentence.textContent()
  await ofOne.answer()
  expect(await sentence.textContent()).toBe(ofTwo)
  await explanations.stop()

  // A question about one filter does not start anything with another. What is pending is not redelivered.
  await eventually(async () => (await db.sql`select from kairan.numbered`).length === 2)
  await db.sql`update kairan.numbered set status = 'd'`
  await goTo('notifications?type=type1')
  const counts = await hold(page, 'deliveries/count*')
  await page.getByRole('button', { name: 'Redeliver all of these' }).click()
  await (await counts.next()).answer()
  await page.getByText('1 delivery would be sent again.').waitFor()
  await goTo('notifications')
  await page.getByText('1 delivery would be sent again.').waitFor({ state: 'detached' })
  await goTo('notifications?type=type2')
  await page.getByRole('button', { name: 'Redeliver all of these' }).click()
  const late = await counts.next()
  await goTo('notifications')
  await late.answer()
  expect(await page.getByText('would be sent again').count()).toBe(0)

  // Nor is a list of another user shown when one was disconnected.
  await goTo('streams?user=1')
  const acts = await hold(page, 'disconnect')
  await page.getByRole('button', { name: 'Disconnect this user' }).click()
  await page.getByRole('button', { name: 'Sure?' }).click()
  const disconnected = await acts.next()
  const asked: string[] = []
  page.on('request', request => {
    if (request.url().includes('/admin/streams')) asked.push(request.url())
  })
  await goTo('streams?user=2')
  await page.getByText('2 has no stream open.').waitFor()
  const reloaded = page.waitForRequest(/admin\/streams/)
  await disconnected.answer()
  await reloaded
  expect(asked.filter(url => !url.includes('user=2'))).toEqual([])
  // A step that was confirmed half is not confirmed for another.
  await page.getByRole('button', { name: 'Disconnect this user' }).click()
  await goTo('streams?user=3')
  await page.getByText('3 has no stream open.').waitFor()
  expect(await page.getByRole('button', { name: 'Sure?' }).count()).toBe(0)
  expect(complaints).toEqual([])
})
