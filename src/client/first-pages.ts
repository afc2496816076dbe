import { distance } from './cursors.ts'
import type { InboxItem, InboxPage } from './types.ts'

/** A page that was asked for before the stream, and whether it is of all types. */
export type FirstPage = { page: Promise<InboxPage>; isWhole: boolean }

/**
 * Where the first of these pages was read: the stream begins there. What came between is among the `items` of the later
 * ones, or comes. A page of some types says nothing of the others: it moves only a client that is `new`.
 */
export const readFirst = async (pages: readonly FirstPage[], isNew: boolean) => {
  const items: InboxItem[] = []
  let first: string | null = null
  for (const { page, isWhole } of pages) {
    const read = await page.catch(() => null)
    if (!read) continue
    items.push(...read.notifications)
    if ((isWhole || isNew) && !(distance(read.cursor, first) >= 0)) first = read.cursor
  }
  return { first, items }
}
