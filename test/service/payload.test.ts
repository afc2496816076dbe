import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { publish, publisherToken } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

/** What breaks naive framing, naive encoding or naive copying of objects. */
const hostile = {
  lines: 'a\nb\r\nc\rd\n\ndata: forged\nevent: error\nid: 7\n\n',
  separators: '\u2028\u2029\u0085\ufeff',
  emoji: '👩‍👩‍👧‍👦 回覧 🇯🇵',
  controls: Array.from({ length: 31 }, (_, index) => String.fromCharCode(index + 1)).join(''),
  quotes: '"\\/\'`</script>',
  ' leading space': ' kept ',
  nested: { constructor: [null, true, 1.5e-7, []], '': {} },
}

test('carries a payload of 60 KB unchanged, whatever is in it', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })

  const text = JSON.stringify({ ...hostile, filling: 'é\n"'.repeat(10_300) }).replace(
    /^\{/,
    '{"__proto__":{"polluted":true},"toString":1,',
  )
  expect(Buffer.byteLength(text)).toBeGreaterThan(60_000)
  await db.sql`select kairan.publish('user-42', ${text}::text::jsonb)`
  const [event] = await client.atLeast(1)

  const expected: Record<string, unknown> = JSON.parse(text)
  const { metadata, ...payload } = event?.payload ?? {}
  expect(metadata).toEqual({ deliveryChannel: 'user-42' })
  expect(payload).toEqual(expected)
  expect(Object.keys(payload)).toContain('__proto__')
  expect(Object.hasOwn(payload, '__proto__')).toBe(true)
})

test('keeps the digits of numbers that JavaScript can not hold', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })

  await db.sql`select kairan.publish('user-42', '{"big": 12345678901234567890, "money": 10.10}')`
  await client.atLeast(1)
  expect(client.text).toContain('"big": 12345678901234567890')
  expect(client.text).toContain('10.10')
})

test('adds deliveryChannel to the metadata of the publisher, and replaces a forged one', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })

  await db.sql`select kairan.publish('user-42', '{"metadata": {"a": 1, "deliveryChannel": "all-users"}}')`
  await db.sql`select kairan.publish('user-42', '{"metadata": null}')`
  await db.sql`select kairan.publish(array['user-42', 'all-users'], '{"metadata": {}}')`
  const events = await client.atLeast(4)
  expect(events.map(({ payload }) => payload.metadata)).toEqual([
    { a: 1, deliveryChannel: 'user-42' },
    { deliveryChannel: 'user-42' },
    { deliveryChannel: 'user-42' },
    { deliveryChannel: 'all-users' },
  ])
})

test('refuses a payload over MAX_EVENT_BYTES when it is published', async () => {
  await using db = await database()
  await using _service = await serve(db, { MAX_EVENT_BYTES: '1000' })
  const publish = (bytes: number) =>
    db.sql`select kairan.publish('user-42', ${db.sql.json({ text: 'x'.repeat(bytes - 12) })})`

  await publish(1000)
  await expect(publish(1001)).rejects.toMatchObject({
    code: '54000',
    message: 'kairan: the payload has 1001 bytes, more than the 1000 that are allowed',
  })
})

test('refuses numbers that are short in a request and megabytes in a row, before Postgres writes them out', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await publisherToken('user-1')
  const post = async (body: string) => {
    const response = await publish(service.url, body, { token })
    return { status: response.status, text: await response.text() }
  }
  const zeros = (count: number, number = '1e131071') => `[${Array(count).fill(number).join(',')}]`
  const one = (value: string) => `{"channel": "user-1", "payload": {"n": ${value}}}`

  for (const number of ['1e131071', '-1E+131071', '1.5e00000131000', '1e-16383']) {
    const refused = await post(one(zeros(1000, number)))
    expect(refused.status).toBe(413)
    expect(refused.text).toContain('"code":"payload_too_large"')
  }
  // Refused as a whole: each would take its memory before it were refused alone.
  const batch = await post(`{"notifications": [${one('1')}, ${one(zeros(1000))}]}`)
  expect(batch.status).toBe(413)

  expect((await post(one('1e400'))).status).toBe(201)
  // Hashes in strings look like such numbers.
  const hashes = JSON.stringify(Array(1000).fill('9e131071 "7e99999'))
  expect((await post(one(hashes))).status).toBe(201)
})
