import type { BrowserContext, Page } from 'playwright-core'
import { eventually } from './eventually.ts'

export type Heard = { n: number; replayed: boolean; cursor: string | null; channel: string }

/** A page of `serveApp`. */
export type Tab = {
  page: Page
  /** Waits until an expression is true in the page. */
  until(condition: string): Promise<unknown>
  /** Waits until its client has this status. */
  status(status: string): Promise<unknown>
  heard(): Promise<Heard[]>
  /** Waits until it has received this many events. Returns their numbers in the order of their arrival. */
  numbers(count: number): Promise<number[]>
}

export const tabOf = (page: Page): Tab => {
  // A page that is loading cannot evaluate anything.
  const isTrue = (condition: string) => page.evaluate<unknown>(condition).catch(() => false)
  const until = (condition: string) => eventually(() => isTrue(condition))
  const heard = () => page.evaluate<Heard[]>('seen')
  return {
    page,
    until,
    status: status => until(`globalThis.client?.status === '${status}'`),
    heard,
    async numbers(count) {
      await until(`globalThis.seen?.length >= ${count}`)
      return (await heard()).map(({ n }) => n)
    },
  }
}

/** Opens a tab, and waits until its client is connected. */
export const openTab = async (context: BrowserContext, url: string): Promise<Tab> => {
  const tab = tabOf(await context.newPage())
  await tab.page.goto(url)
  await tab.status('open')
  return tab
}
