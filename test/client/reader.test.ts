import { expect, test } from 'bun:test'
import { createReader } from '../../src/client/reader.ts'
import type { NotificationEvent } from '../../src/client/types.ts'

/** A reader that begins at a cursor, and what its listeners have heard. */
const reading = (cursor: string | null, isAway = false) => {
  const heard: NotificationEvent[] = []
  const moves: string[] = []
  const reader = createReader({
    cursor,
    onMove: next => moves.push(next),
    isAway: () => isAway,
    onEvent: event => heard.push(event),
    onControl: () => undefined,
  })
  const event = (seq: number | null, id: string | null = `n${seq}`) =>
    reader.take({
      event: '',
      data: JSON.stringify({ channel: 'user-42', payload: {}, id, type: null }),
      ...(seq === null ? {} : { id: `a-${seq}` }),
    })
  const control = (cursor: string, content: object) =>
    reader.take({ event: 'control', data: JSON.stringify(content), id: cursor })
  return { reader, moves, event, control, cursors: () => heard.map(({ cursor }) => cursor), heard }
}

test('hears what is ahead of where it was, once', () => {
  const { reader, event, cursors, moves } = reading('a-2')
  for (const seq of [1, 2, 3, 3, 10, 9]) event(seq)
  expect(cursors()).toEqual(['a-3', 'a-10'])
  expect(moves).toEqual(['a-3', 'a-10'])
  expect(reader.cursor).toBe('a-10')
})

test('hears ten thousand events, and of those with one id the first', () => {
  const { event, heard } = reading(null)
  for (let seq = 1; seq <= 10_000; seq++) event(seq)
  expect(heard).toHaveLength(10_000)
  event(10_001, 'n10000')
  expect(heard).toHaveLength(10_000)
  // Long ago is forgotten: what is redelivered after that comes again.
  event(10_002, 'n1')
  expect(heard).toHaveLength(10_001)
})

test('hears events of the live path, which have no cursor', () => {
  const { reader, event, cursors } = reading('a-2')
  event(null, null)
  event(null, null)
  expect(cursors()).toEqual([null, null])
  expect(reader.cursor).toBe('a-2')
})

test('goes on where a gap ends, and where another log begins', () => {
  const { reader, event, control, cursors } = reading('a-100')
  control('a-50', { type: 'ready', resumed: false, head: 'a-50' })
  expect(reader.cursor).toBe('a-100')
  control('a-50', { type: 'gap', reason: 'log' })
  event(51)
  control('b-7', { type: 'ready', resumed: false, head: 'b-7' })
  expect(reader.cursor).toBe('b-7')
  expect(cursors()).toEqual(['a-51'])
})

test('what was in the log when the stream began is replayed, if it was away', () => {
  for (const isAway of [true, false]) {
    const { event, control, heard } = reading('a-1', isAway)
    control('a-1', { type: 'ready', resumed: true, head: 'a-3' })
    for (const seq of [2, 3, 4, null]) event(seq)
    expect(heard.map(({ replayed }) => replayed)).toEqual([isAway, isAway, false, false])
  }
})
