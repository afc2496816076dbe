import type { Page } from 'playwright-core'
import type { TestBrowser } from './browser.ts'
import type { TestDatabase } from './database.ts'
import { tokenFor } from './service.ts'

/** Lets a user into the dashboard. */
export const makeAdmin = (db: TestDatabase, userId = 'boss') =>
  db.sql`insert into kairan.roles values (${userId}, 100)`

/** Opens the dashboard and signs in with a token of an admin. */
export const openDashboard = async (
  chromium: TestBrowser,
  url: string,
  width = 1280,
  { byKey = false, userId = 'boss' } = {},
) => {
  const context = await chromium.newContext({ viewport: { width, height: 800 } })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(error.message))
  page.on('console', message => {
    // That nobody is signed in yet is an answer, which Chromium complains of.
    if (message.type() === 'error' && !message.text().includes('401'))
      complaints.push(message.text())
  })
  page.on('request', request => {
    if (!request.url().startsWith(url)) complaints.push(`asks elsewhere: ${request.url()}`)
  })
  await page.goto(`${url}/dashboard`)
  await page.getByLabel('Token of an admin').fill(await tokenFor(userId))
  if (byKey) await page.getByLabel('Token of an admin').press('Enter')
  else await page.getByRole('button', { name: 'Sign in' }).click()
  /** Resolves when that page is shown: until then its fields may be those of the one before. */
  const go = async (name: string) => {
    const link = page.getByRole('navigation').getByRole('link', { name, exact: true })
    await link.click()
    await link.and(page.locator('[aria-current=page]')).waitFor()
  }
  return { page, go, complaints }
}

/** Goes to another page of the dashboard by its address. Resolves when that has heard of it. */
export const goTo = (page: Page, hash: string) =>
  page.evaluate(async to => {
    const changed = new Promise(resolve => addEventListener('hashchange', resolve, { once: true }))
    if (location.hash === `#${to}`) return
    location.hash = to
    await changed
  }, hash)

/**
 * What stands beyond the right edge of the window: boxes, and texts, which can be wider than the box that they are in.
 */
export const cutOff = (page: Page) =>
  page.evaluate(async () => {
    // What observes its own width has drawn itself anew in the second frame.
    for (const _ of [1, 2]) await new Promise(resolve => requestAnimationFrame(resolve))
    const isBeyond = (one: Element | Range) =>
      [...one.getClientRects()].some(({ right }) => right > innerWidth + 1)
    const boxes = [...document.querySelectorAll('#app *')]
      .filter(isBeyond)
      .map(one => `${one.tagName}.${one.className} ${one.textContent?.slice(0, 30)}`)
    const texts: string[] = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
      const range = document.createRange()
      range.selectNodeContents(text)
      if (isBeyond(range)) texts.push(`text ${text.textContent?.slice(0, 30)}`)
    }
    return [...boxes, ...texts]
  })
