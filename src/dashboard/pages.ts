import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { get } from './api.ts'

/** A list that is read page by page. It is read again when its filter changes. */
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

  const load = async (before: string | null) => {
    state.value = 'asking'
    try {
      const answer = await get<{ next: string | null }>(path, { ...filter, before: before ?? '' })
      const found = rowsOf(answer as never)
      // Bounded, so that a page that stays open all day does not grow with the log.
      rows.value = before === null ? found : [...rows.value, ...found].slice(0, mostRows)
      next.value = rows.value.length >= mostRows ? null : answer.next
      error.value = null
    } catch (thrown) {
      error.value = thrown instanceof Error ? thrown.message : 'It failed.'
    }
    state.value = 'idle'
  }

  useEffect(() => {
    void load(null)
  }, [key])

  return { rows, next, state, error, reload: () => load(null), more: () => load(next.value) }
}

/** Largest number of rows of a list. To see others, narrow the filter. */
export const mostRows = 1000
