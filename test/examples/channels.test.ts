import { expect, test } from 'bun:test'
import type { BrowserContext, Page } from 'playwright-core'
import { browser, withoutBrowser } from '../support/browser.ts'
import { openChannelsExample } from '../support/channels-example.ts'
import { eventually } from '../support/eventually.ts'

const { SCREENSHOTS } = process.env

/** Two people, Aiko and Ben, each in a browser of their own; Ben's is a phone. */
const world = async () => {
  await using stack = new AsyncDisposableStack()
  const example = stack.use(await openChannelsExample())
  const chromium = stack.use(await browser())
  const aikos = await chromium.newContext()
  const bens = await chromium.newContext({ viewport: { width: 360, height: 640 } })
  const complaints: string[] = []
  const open = async (context: BrowserContext, path: string) => {
    const page = await context.newPage()
    page.on('console', message => message.type() === 'error' && complaints.push(message.text()))
    page.on('pageerror', error => complaints.push(error.message))
    await page.goto(`${example.url}/${path}`)
    await page.locator('#status', { hasText: 'open' }).waitFor()
    return page
  }
  const kept = stack.move()
  return {
    example,
    complaints,
    aiko: (path: string) => open(aikos, `${path}?as=1`),
    ben: (path: string) => open(bens, `${path}?as=2`),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/** Nothing of a page is wider than its window. */
const fits = async (page: Page) => {
  const { scrollWidth, innerWidth } = await page.evaluate<{
    scrollWidth: number
    innerWidth: number
  }>('({ scrollWidth: document.documentElement.scrollWidth, innerWidth })')
  expect(scrollWidth).toBeLessThanOrEqual(innerWidth)
}

const shoot = async (name: string, ...pages: Page[]) => {
  for (const [index, page] of pages.entries()) {
    await fits(page)
    if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}-${index}.png` })
  }
}

test.skipIf(withoutBrowser)(
  'documents: collaborators see each edit, and from when they are removed nothing more',
  async () => {
    await using it = await world()
    const [aiko, ben] = [await it.aiko('documents.html'), await it.ben('documents.html')]
    await aiko.getByLabel('Title').fill('Plan')
    await aiko.getByRole('button', { name: 'Create' }).click()
    const aikos = aiko.getByRole('textbox', { name: 'Plan' })
    const bens = ben.getByRole('textbox', { name: 'Plan' })
    // The page sends what is typed by itself: the next step waits until it was stored.
    const stored = (text: string) =>
      eventually(async () => {
        const [document] = await it.example.sql`select body from documents`
        return document?.body === text
      })
    await aikos.fill('One')
    await stored('One')
    await aiko.getByRole('checkbox', { name: 'Ben' }).check()
    await eventually(async () => {
      const members = await it.example
        .sql`select user_id from kairan.members where channel = 'doc-1'`
      return members.length === 2
    })
    // Ben sees it with the first edit after he was let in.
    await aikos.fill('One, two')
    await bens.waitFor()
    await eventually(async () => (await bens.inputValue()) === 'One, two')
    await bens.fill('One, two, three')
    await eventually(async () => (await aikos.inputValue()) === 'One, two, three')
    await aiko.getByText('Edited by Ben').waitFor()
    await shoot('documents', aiko, ben)

    await aiko.getByRole('checkbox', { name: 'Ben' }).uncheck()
    await bens.waitFor({ state: 'detached' })
    await aikos.fill('Without Ben')
    await stored('Without Ben')
    await it.example.sql`update documents set body = 'By nobody', edited_by = '3'`
    await eventually(async () => (await aikos.inputValue()) === 'By nobody')
    expect(await bens.count()).toBe(0)
    expect(it.complaints).toEqual([])
  },
)

test.skipIf(withoutBrowser)(
  'a run: its owner follows it, also after a reload and a cut, and nobody else does',
  async () => {
    await using it = await world()
    const aiko = await it.aiko('run.html')
    await aiko.getByRole('button', { name: 'Start a run' }).click()
    await aiko.getByText('Step 2', { exact: true }).waitFor()
    await aiko.reload()
    await aiko.getByText('Step 4', { exact: true }).waitFor()
    await aiko.context().setOffline(true)
    await eventually(async () => {
      const [run] = await it.example.sql`select step from runs`
      return run?.step >= 7
    })
    await aiko.context().setOffline(false)
    await aiko.getByText('is done').waitFor()
    const steps = Array.from({ length: 10 }, (_, index) => `Step ${index + 1}`)
    expect(await aiko.locator('#steps li').allTextContents()).toEqual(steps)

    const ben = await it.ben('run.html')
    await ben.goto(`${it.example.url}/run.html?as=2&run=1`)
    await it.example.sql`update runs set step = 3`
    await ben.locator('#status', { hasText: 'open' }).waitFor()
    await it.example.sql`select kairan.publish('user-2', '{}')`
    expect(await ben.locator('#steps li').count()).toBe(0)
    await shoot('run', aiko, ben)
  },
)

test.skipIf(withoutBrowser)(
  'a chat room: both read what is said, and see who is there',
  async () => {
    await using it = await world()
    const [aiko, ben] = [await it.aiko('room.html'), await it.ben('room.html')]
    for (const page of [aiko, ben]) {
      await page.locator('#present').getByText('Aiko, Ben', { exact: true }).waitFor()
    }
    await aiko.getByLabel('Message').fill('Hello')
    await aiko.getByRole('button', { name: 'Send' }).click()
    await ben.getByText('Aiko Hello').waitFor()
    await ben.getByLabel('Message').fill(`Hi ${'there '.repeat(30)}`)
    await ben.getByRole('button', { name: 'Send' }).click()
    await aiko.getByText('Ben Hi').waitFor()
    await shoot('room', aiko, ben)
    await ben.close()
    await aiko.locator('#present').getByText('Aiko', { exact: true }).waitFor()
    expect(await aiko.locator('#messages li').count()).toBe(2)
    expect(it.complaints).toEqual([])
  },
)
