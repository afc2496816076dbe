import { expect, test } from 'bun:test'
import { parseTime, parseTimeOrDay } from '../../src/lib/time.ts'
import { database } from '../support/database.ts'

const good: [text: string, time: string][] = [
  ['2030-01-31T12:00:00Z', '2030-01-31T12:00:00.000Z'],
  ['2030-01-31T12:00Z', '2030-01-31T12:00:00.000Z'],
  ['2030-01-31T12:00:00.123456789+05:30', '2030-01-31T06:30:00.123Z'],
  ['2030-12-31T23:59:59-15:59', '2031-01-01T15:58:59.000Z'],
  ['2028-02-29T24:00:00Z', '2028-03-01T00:00:00.000Z'],
  ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
]
const bad = [
  ...[
    '',
    'tomorrow',
    '2030',
    '2030-01-31',
    '2030-01-31T12',
    '2030-01-31T12:00:00',
    '2030-1-31T12:00Z',
  ],
  ...[
    '2026-02-30T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-00-10T00:00:00Z',
  ],
  ...[
    '2026-01-00T00:00:00Z',
    '2026-01-01T25:00:00Z',
    '2026-01-01T24:00:01Z',
    '2026-01-01T00:60:00Z',
  ],
  ...[
    '2026-01-01T00:00:60Z',
    '0000-01-01T00:00:00Z',
    '2026-01-01T00:00:00+16:00',
    '2026-01-01T00:00+0100',
  ],
  ...[
    '0001-01-01T00:00:00+01:00',
    '9999-12-31T23:59:59-01:00',
    '+002026-01-01T00:00:00Z',
    '2026-01-01T00:00:00Z\0',
  ],
]

test('reads times with their zone, and days where they are allowed', () => {
  for (const [text, time] of good) expect([text, parseTime(text)]).toEqual([text, time])
  for (const text of bad) expect([text, parseTime(text)]).toEqual([text, null])
  expect(parseTimeOrDay('2026-02-28')).toBe('2026-02-28T00:00:00.000Z')
  expect(parseTimeOrDay('2026-02-30')).toBeNull()
})

test('whatever it accepts is the same time in Postgres', async () => {
  await using db = await database()
  const pick = (most: number, digits = 2) =>
    String(Math.floor(Math.random() * (most + 1))).padStart(digits, '0')
  const made = () =>
    `${pick(10_000, 4)}-${pick(13)}-${pick(32)}T${pick(24)}:${pick(60)}:${pick(60)}` +
    `${Math.random() < 0.5 ? '' : `.${pick(999_999, 1)}`}${Math.random() < 0.5 ? 'Z' : `+${pick(16)}:${pick(60)}`}`
  const texts = [...good.map(([text]) => text), ...Array.from({ length: 3000 }, made)]
  const accepted = texts.flatMap(text => {
    const time = parseTime(text)
    return time === null ? [] : [{ text, time }]
  })
  expect(accepted.length).toBeGreaterThan(500)
  const different = await db.sql`
    select text, time from jsonb_to_recordset(${JSON.stringify(accepted)}::text::jsonb) t (text text, time text)
    where date_trunc('milliseconds', text::timestamptz) <> time::timestamptz
      -- Postgres rounds to microseconds first.
      and abs(extract(epoch from text::timestamptz - time::timestamptz)) > 0.001`
  expect([...different]).toEqual([])
})
