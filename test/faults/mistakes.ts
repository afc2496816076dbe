import { copyWith, type Edit } from '../support/planted.ts'

/** Mistakes that are easily made. With each of them the harness has to fail, or it proves nothing. */
export const mistakes: Record<string, Edit[]> = {
  'naive cursor': [
    {
      from: 'log.head + f.up_to - cardinality(f.channels), f.bytes_before',
      to: 'f.place * 1000, f.bytes_before',
    },
    {
      from: 'select log.n + 1, log.head + coalesce(rows, 0),',
      to: 'select log.n + 1, greatest(log.head, reached * 1000 + 999),',
    },
  ],
  'no catch-up after an outage': [
    {
      from: 'take(found)\n',
      to: 'take(missed ? { ...found, events: [] } : found)\n',
    },
    {
      from: 'state.problem = null\n      noticeServer',
      to: "const missed = state.problem !== null && epoch !== ''\n      state.problem = null\n      noticeServer",
    },
  ],
  'live before the backlog has ended': [
    {
      from: 'if (!this.isHeld && this.position >= head) this.live = true',
      to: 'this.live = true',
    },
  ],
}

/**
 * A copy of the service's source, with a mistake in it if one is named. Always a copy: instances that are
 * started again during a run have to be those that it began with.
 */
export const withMistake = async (name: string | undefined) => {
  const edits = name === undefined ? [] : mistakes[name]
  if (!edits) throw new Error(`No such mistake. There are: ${Object.keys(mistakes).join(', ')}`)
  const copy = await copyWith(edits)
  return { path: copy.source, [Symbol.asyncDispose]: () => copy[Symbol.asyncDispose]() }
}
