import { expect, test } from 'bun:test'
import { refusalOf } from '../../src/postgres/errors.ts'
import { database } from '../support/database.ts'
import { answerOf, publish } from '../support/publish.ts'
import { serve } from '../support/service.ts'

/** What only somebody who writes SQL understands. */
const sqlWords =
  /\$\d|::|\bnow\(\)|\binterval '|\bsql\.|\bselect |\binsert |\btrigger\b|text\[\]|dedupe_key|follow_up_after|send_at|expires_at/

test('each hint that SQL gives to who publishes is in words of JSON over HTTP', async () => {
  let count = 0
  for (const file of ['publish', 'scheduled', 'mutes']) {
    const text = await Bun.file(`${import.meta.dir}/../../src/postgres/schema/${file}.sql`).text()
    for (const [, raised = '', rest = ''] of text.matchAll(
      /raise exception 'kairan: ((?:[^']|'')*)'([^;]*);/g,
    )) {
      const [, advice = ''] = rest.split(/hint\s*=/)
      const hints = [...advice.matchAll(/'((?:[^']|'')+)'/g)].map(([, hint = '']) => hint)
      const unquoted = [raised, ...hints].map(part => part?.replaceAll("''", "'") ?? '')
      const [message = '', ...others] = unquoted
      for (const hint of ['', ...others]) {
        const detail = refusalOf('22023', `kairan: ${message}`, hint)?.message ?? ''
        expect(detail).not.toMatch(sqlWords)
        count++
      }
    }
  }
  expect(count).toBeGreaterThan(25)
})

test('what is refused over HTTP says what to send instead, in JSON', async () => {
  await using db = await database()
  await using service = await serve(db)
  const good = { channel: 'user-1', payload: {} }
  for (const [more, says] of [
    [{ channel: 'a,b' }, 'Several channels are a list: {"channels": ["a", "b"]}.'],
    [{ channel: 'a b' }, 'This name has 3 characters.'],
    [{ channels: [], channel: undefined }, 'Name at least one'],
    [{ payload: '{"n": 1}' }, 'Send the object itself, as {"payload": {…}}.'],
    [{ payload: [1] }, 'Wrap it: {"value": …}.'],
    [{ payload: { metadata: 1 } }, 'Use another key.'],
    [{ type: 'x'.repeat(201) }, 'Leave it null'],
    [{ dedupeKey: 'x'.repeat(201) }, 'dedupeKey has 201 characters'],
    [{ followUpAfter: '100d' }, '"5m"'],
    [{ channel: 'all-users', followUpAfter: '5m' }, 'leave followUpAfter out'],
    [{ sendAt: 'infinity' }, 'sendAt has to be a time'],
  ] as const) {
    const { status, detail = '' } = await answerOf(publish(service.url, { ...good, ...more }))
    expect([more, status, detail]).toEqual([more, 400, expect.stringContaining(says)])
    expect(detail).not.toMatch(sqlWords)
  }
})
