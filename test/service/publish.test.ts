import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { cluster } from '../support/cluster.ts'
import { database } from '../support/database.ts'
import { answerOf, publish, publisherToken, tokenWith } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

const uuid = expect.stringMatching(/^[0-9a-f-]{36}$/)

test('publishes what it is sent, to the digit', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const expiresAt = new Date(Date.now() + 3_600_000).toISOString()

  const answer = await publish(
    service.url,
    `{"channels": ["user-42", "all-users"], "payload": {"n": 12345678901234567890.5, "回": "😀"},
      "type": "order.shipped", "dedupeKey": "k", "expiresAt": "${expiresAt}"}`,
  )
  expect(answer.status).toBe(201)
  const { id }: { id: string } = await answer.json()
  const events = await client.atLeast(2)
  expect(events.map(({ channel }) => channel)).toEqual(['user-42', 'all-users'])
  expect(events[0]).toMatchObject({ id, type: 'order.shipped' })
  expect(client.text).toContain('12345678901234567890.5')
  const [row] = await db.sql`select *, payload::text as text from kairan.notifications`
  expect(row).toMatchObject({ id, dedupe_key: 'k', expires_at: new Date(expiresAt) })
  expect(row?.text).toBe('{"n": 12345678901234567890.5, "回": "😀"}')
})

test('takes a form, as curl and HTML send one', async () => {
  await using db = await database()
  await using service = await serve(db)
  const headers = { 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' }
  const form = 'channel=user-1&channel=user-2&payload={"n":1e2}&type=&dedupeKey=a%20b'
  expect(await answerOf(publish(service.url, form, { headers }))).toMatchObject({
    status: 201,
    id: uuid,
  })
  expect((await publish(service.url, form, { headers })).status).toBe(200)
  const [row] = await db.sql`select channels, payload, type, dedupe_key from kairan.notifications`
  expect(row).toEqual({
    channels: ['user-1', 'user-2'],
    payload: { n: 100 },
    type: null,
    dedupe_key: 'a b',
  })
})

test('a dedupeKey that repeats gives the id of the first time, and 200', async () => {
  await using db = await database()
  await using service = await serve(db)
  const one = { channel: 'user-1', payload: { n: 1 } }
  const first = await answerOf(publish(service.url, { ...one, dedupeKey: 'order-7' }))
  expect(first).toMatchObject({ status: 201, id: uuid })
  for (const headers of [{ 'idempotency-key': 'order-7' }, { 'idempotency-key': '"order-7"' }]) {
    const again = await answerOf(publish(service.url, one, { headers }))
    expect<unknown>(again).toEqual({ status: 200, id: first.id })
  }
  const both = { ...one, dedupeKey: 'other' }
  expect(
    await answerOf(publish(service.url, both, { headers: { 'idempotency-key': 'order-7' } })),
  ).toMatchObject({ status: 400, code: 'bad_notification' })

  const racing = await Promise.all(
    Array.from({ length: 20 }, () => answerOf(publish(service.url, { ...one, dedupeKey: 'race' }))),
  )
  expect(new Set(racing.map(({ id }) => id)).size).toBe(1)
  expect(racing.map(({ status }) => status).toSorted()).toEqual([...Array(19).fill(200), 201])
  const [count] = await db.sql`select count(*)::int as n from kairan.notifications`
  expect(count?.n).toBe(2)
})

test('publishes a batch in its order, with a result for each', async () => {
  await using db = await database()
  await using service = await serve(db, { MAX_EVENT_BYTES: '100' })
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  const token = await publisherToken('user-*')
  const notifications = [
    { channel: 'user-1', payload: { n: 1 }, dedupeKey: 'k' },
    { channel: 'nobody', payload: {} },
    { channel: 'all-users', payload: {} },
    { channel: 'user-1', payload: { n: 2 }, dedupekey: 'k' },
    { channel: 'user-1', payload: { n: 1 }, dedupeKey: 'k' },
    'nonsense',
    { channel: 'user- 1', payload: {} },
    { channel: 'user-1', payload: [1] },
    { channel: 'user-1', payload: { text: 'x'.repeat(100) } },
    { channel: 'user-1', payload: { n: 3 } },
    { channel: 'user-1', payload: { n: 2 }, dedupeKey: 'k' },
    { channel: 'user-2', payload: { n: 1 }, dedupeKey: 'k' },
    { channel: 'user-1', payload: { n: 1 }, type: 't', dedupeKey: 'k' },
  ]
  const answer = await publish(service.url, { notifications }, { token })
  expect(answer.status).toBe(200)
  const { results }: { results: { status: number; code?: string; id?: string }[] } =
    await answer.json()
  expect(results.map(({ status, code }) => [status, code])).toEqual([
    [201, undefined],
    [403, 'channel_forbidden'],
    [403, 'channel_forbidden'],
    [400, 'bad_notification'],
    [200, undefined],
    [400, 'bad_notification'],
    [400, 'bad_notification'],
    [400, 'bad_notification'],
    [413, 'payload_too_large'],
    [201, undefined],
    [422, 'dedupe_key_reused'],
    [422, 'dedupe_key_reused'],
    [422, 'dedupe_key_reused'],
  ])
  expect(results[4]?.id).toBe(results[0]?.id ?? '')
  const events = await client.atLeast(2)
  expect(events.map(({ payload }) => payload.n)).toEqual([1, 3])
  expect(events.map(({ id }) => id)).toEqual([results[0]?.id ?? '', results[9]?.id ?? ''])
})

test('says what SQL says of what can not be published, in the names of JSON', async () => {
  await using db = await database()
  await using service = await serve(db, { MAX_EVENT_BYTES: '100' })
  const cases: [body: object | string, status: number, detail: RegExp][] = [
    [{ channel: 'no body', payload: {} }, 400, /^unknown channel "no body"\. A channel is user-/],
    [{ channels: [], payload: {} }, 400, /^a notification has 1 to 1000 channels, not 0\. Name/],
    [{ channel: 'user-1' }, 400, /^the payload is not a JSON object but null: null\. Wrap it/],
    [{ channel: 'user-1', payload: '{}' }, 400, /^the payload was encoded as JSON twice/],
    [{ channel: 'user-1', payload: { metadata: 1 } }, 400, /^payload\.metadata is not a JSON obj/],
    [{ channel: 'user-1', payload: { a: 'x'.repeat(99) } }, 413, /^the payload has 108 bytes, mo/],
    [{ channel: 'user-1', payload: {}, type: '' }, 400, /^the type has 0 characters/],
    [
      { channel: 'user-1', payload: {}, dedupeKey: 'k'.repeat(201) },
      400,
      /^dedupeKey has 201 characters, not 1 to 200/,
    ],
    [
      String.raw`{"channel": "user-1", "payload": {"a": "\u0000"}}`,
      400,
      /can not store .* U\+0000/,
    ],
    ['{"channel": "user-1", "payload": {"a": 1e999999}}', 400, /a number that is too large/],
    [
      `{"channel": "user-1", "payload": {"a": ${'['.repeat(99_999)}${']'.repeat(99_999)}}}`,
      400,
      /nested too deeply/,
    ],
  ]
  for (const [body, status, detail] of cases) {
    const answer = await answerOf(publish(service.url, body))
    expect(answer).toMatchObject({ status, detail: expect.stringMatching(detail) })
  }
  expect(await db.sql`select from kairan.notifications`).toHaveLength(0)
})

test('lets publish who has the scope, on the channels of the claim', async () => {
  await using db = await database()
  await using service = await serve(db)
  const scope = 'kairan:publish'
  const cases: [claims: Record<string, unknown>, channel: string, status: number, code?: string][] =
    [
      [{}, 'user-1', 403, 'scope_missing'],
      [{ scope: 'kairan:publisher kairan' }, 'user-1', 403, 'scope_missing'],
      [{ scope: { [scope]: true } }, 'user-1', 403, 'scope_missing'],
      [{ scope: `openid ${scope}` }, 'admin-dashboard', 201],
      [{ scope: [scope] }, 'user-1', 201],
      [{ scp: [scope] }, 'user-1', 201],
      [{ scp: scope }, 'user-1', 201],
      [{ scope, 'kairan:channels': [] }, 'user-1', 403, 'scope_missing'],
      [{ scope, 'kairan:channels': 'user-*' }, 'user-1', 403, 'scope_missing'],
      [{ scope, 'kairan:channels': [7, null] }, 'user-1', 403, 'scope_missing'],
      [{ scope, 'kairan:channels': ['user-1'] }, 'user-1', 201],
      [{ scope, 'kairan:channels': ['user-1'] }, 'user-11', 403, 'channel_forbidden'],
      [{ scope, 'kairan:channels': ['user-1*', 'all-users'] }, 'user-11', 201],
      [{ scope, 'kairan:channels': ['user-1*', 'all-users'] }, 'user-2', 403, 'channel_forbidden'],
      [{ scope, 'kairan:channels': ['user-.*'] }, 'user-2', 403, 'channel_forbidden'],
      [{ scope, 'kairan:channels': ['*'] }, 'admin-dashboard', 201],
    ]
  for (const [claims, channel, status, code] of cases) {
    const token = await tokenWith(claims)
    const answer = await answerOf(publish(service.url, { channel, payload: {} }, { token }))
    expect([claims, channel, answer.status, answer.code]).toEqual([claims, channel, status, code])
  }
  // One channel of several is enough to refuse.
  const token = await publisherToken('user-1')
  const two = { channels: ['user-1', 'user-2'], payload: {} }
  expect((await publish(service.url, two, { token })).status).toBe(403)
})

test('asks who publishes too much to wait, and nobody else', async () => {
  await using db = await database()
  await using service = await serve(db, { PUBLISH_RATE: '10' })
  const one = { channel: 'user-1', payload: {} }
  const batch = (n: number) => ({ notifications: Array.from({ length: n }, () => one) })
  const begin = performance.now()
  expect((await publish(service.url, batch(99))).status).toBe(200)
  const refused = await publish(service.url, batch(100))
  expect(refused.status).toBe(429)
  // The 9.9 s that 99 of them take, but for those that have passed.
  const passed = (performance.now() - begin) / 1000
  expect(Number(refused.headers.get('retry-after'))).toBeWithin(9 - passed, 11)
  expect(await refused.json()).toMatchObject({
    code: 'rate_limited',
    detail: 'Too many notifications: at most 10 a second.',
  })
  const other = await tokenWith({ sub: 'other', scope: 'kairan:publish' })
  expect((await publish(service.url, batch(100), { token: other })).status).toBe(200)
  const [count] = await db.sql`select count(*)::int as n from kairan.notifications`
  expect(count?.n).toBe(199)
})

test('a database that is away is 503, with nothing of what it said', async () => {
  await using server = await cluster()
  await using service = await serve(server)
  const one = { channel: 'user-1', payload: {} }
  expect((await publish(service.url, one)).status).toBe(201)
  await server.stop('immediate')
  const answer = await publish(service.url, one)
  expect(answer.status).toBe(503)
  expect(answer.headers.get('retry-after')).toBe('2')
  expect(await answer.json()).toEqual({
    type: 'about:blank',
    title: 'Service Unavailable',
    status: 503,
    code: 'unavailable',
    detail: 'The database can not be used now. Try again soon.',
  })
})
