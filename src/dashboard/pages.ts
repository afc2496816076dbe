import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { get } from './api.ts'

/**
 * A list that is read page by page. It is read again when its filter changes, and every five seconds while no more
 * than `mostRefreshed` rows are shown. After an error it keeps its rows, and the next refresh tries again.
 */
export const usePages = <Row>(
  path: string,
  filter: Record<string, string>,
  rowsOf: (answer: never) => Row[],
) => {
  const rows = useSignal<Row[]>([])
  const next = useSignal<string | null>(null)
  const state = useSignal<'asking' | 'idle'>('asking')
  const error = useSignal<string | null>(null)
  const key = JSON.stringify(filter)
  // What was begun with another filter loads with this one when it is done.
  const newest = useRef({ filter, number: 0 })
  newest.current.filter = filter

  const load = async (before: string | null, limit = firstRows) => {
    const { filter } = newest.current
    const number = ++newest.current.number
    // An answer is for the newest question only: the filter may have changed while it was on its way.
    const isOld = () => newest.current.number !== number
    state.value = 'asking'
    try {
      const answer = await get<{ next: string | null }>(path, {
        ...filter,
        before: before ?? '',
        limit: `${limit}`,
      })
      if (isOld()) return
      const found = rowsOf(answer as never)
      // Bounded, so that a page that stays open all day does not grow with the log.
      rows.value = before === null ? found : [...rows.value, ...found].slice(0, mostRows)
      next.value = rows.value.length >= mostRows ? null : answer.next
      error.value = null
    } catch (thrown) {
      if (isOld()) return
      error.value = thrown instanceof Error ? thrown.message : 'It failed.'
    }
    state.value = 'idle'
  }

  useEffect(() => {
    rows.value = []
    next.value = null
    error.value = null
    void load(null)
    const timer = setInterval(() => {
      const shown = rows.peek().length
      const isBusy = state.peek() === 'asking'
      if (document.hidden || isBusy || shown > mostRefreshed) return
      void load(null, Math.max(shown, firstRows))
    }, everyMs)
    return () => clearInterval(timer)
  }, [key])

  return {
    rows,
    next,
    error,
    /** Whether the service said that there is nothing. During an outage nobody knows. */
    isEmpty: () => rows.value.length === 0 && state.value === 'idle' && error.value === null,
    reload: () => load(null),
    more: () => load(next.value),
  }
}

export type Pages<Row> = ReturnType<typeof usePages<Row>>

/** Largest number of rows of a list. To see others, narrow the filter. */
export const mostRows = 1000
const firstRows = 50
/** Largest number of rows that one request answers. */
const mostRefreshed = 100
const everyMs = 5000
