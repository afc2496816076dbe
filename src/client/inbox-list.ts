import { distance } from './cursors.ts'
import type { InboxItem } from './types.ts'

type Identified = { id: string }

/** Tells the items with one of these ids. */
export const isOneOf = (ids: unknown) => {
  const known = new Set([ids].flat())
  return ({ id }: Identified) => known.has(id)
}

/** Tells the items that are among these. */
export const isAmong = (items: readonly Identified[]) => isOneOf(items.map(({ id }) => id))

/**
 * A list, newest first, with one more where its cursor belongs: what a first stream replays may be older than what is
 * shown. Undefined where it belongs on a later page.
 */
export const insert = (items: readonly InboxItem[], item: InboxItem, hasMore: boolean) => {
  const found = items.findIndex(other => !(distance(other.cursor, item.cursor) > 0))
  if (found < 0 && items.length > 0 && hasMore) return
  return items.toSpliced(found < 0 ? items.length : found, 0, item)
}
