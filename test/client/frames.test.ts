import { expect, test } from 'bun:test'
import { createParser as createReference } from 'eventsource-parser'
import fc from 'fast-check'
import { createParser, type Frame } from '../../src/client/frames.ts'

const parse = (pieces: string[]) => {
  const frames: Frame[] = []
  const retries: number[] = []
  const feed = createParser(
    frame => frames.push(frame),
    ms => retries.push(ms),
  )
  for (const piece of pieces) feed(piece)
  return { frames, retries }
}

/** Cuts a text wherever these numbers say. */
const cut = (text: string, at: number[]) => {
  const places = [0, ...at.map(n => n % (text.length + 1)).sort((a, b) => a - b), text.length]
  return places.map((place, index) => text.slice(place, places[index + 1]))
}

const line = fc.oneof(
  fc.constantFrom(
    '',
    '',
    ':',
    ': hb',
    'data',
    'data:',
    'data: a:b',
    'data:  x',
    'id',
    'id: 7-1',
    'id:',
  ),
  fc.constantFrom(
    'event: control',
    'event',
    'retry: 50',
    'retry: 5x',
    'retry:',
    'field: x',
    ' data: x',
  ),
  fc.string().map(text => `data: ${text.replace(/[\r\n]/g, '')}`),
)
const text = fc
  .array(fc.tuple(line, fc.constantFrom('\n', '\r\n', '\r')))
  // A CR at the end could be half of a line's end. With this it is none.
  .map(lines => `${lines.flat().join('')}:\n`)

test('takes a stream apart as the standard says, wherever it is cut', () => {
  fc.assert(
    fc.property(text, fc.array(fc.nat(10_000), { maxLength: 8 }), (written, places) => {
      const whole = parse([written])
      expect(parse(cut(written, places))).toEqual(whole)

      const expected: object[] = []
      const reference = createReference({
        onEvent: ({ event = '', data }) => expected.push({ event, data }),
      })
      reference.feed(written)
      const events = whole.frames.filter(({ data }) => data !== null)
      expect<object[]>(events.map(({ event, data }) => ({ event, data }))).toEqual(expected)
    }),
    { numRuns: 2000 },
  )
})

test('a block that was cut off is none; one with an id alone moves the cursor', () => {
  expect(parse(['id: 7-1\n\nid: 7-2\ndata: {}\n'])).toEqual({
    frames: [{ event: '', data: null, id: '7-1' }],
    retries: [],
  })
  expect(parse(['retry: 50\n\nretry: -1\nretry: 1.5\n\n']).retries).toEqual([50])
})
