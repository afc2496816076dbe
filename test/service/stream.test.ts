import { expect, test } from 'bun:test'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

test('brings a published notification to the stream of its user, and says so in its row', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })

  const [row] = await db.sql`
    select kairan.publish('user-42', '{"total": 12, "metadata": {"by": "shop"}}', 'order.shipped') as id`
  const [event] = await client.atLeast(1)

  expect(event).toMatchObject({
    channel: 'user-42',
    payload: { total: 12, metadata: { by: 'shop', deliveryChannel: 'user-42' } },
    id: row?.id,
    type: 'order.shipped',
  })
  const delivery = await eventually(async () => {
    const [found] = await db.sql`select * from kairan.deliveries where status = 'delivered'`
    return found
  })
  expect(delivery).toMatchObject({ channel: 'user-42', recipients: 1, error: null })
  expect(delivery.delivered_at).toBeInstanceOf(Date)
})

test('opens with retry, ping and ready, in the headers that proxies need', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })

  expect(client.text).toMatch(
    /^retry: \d+\n\nevent: ping\ndata: connected\n\nevent: control\ndata: \{"type":"ready","resumed":false,"cursor":"([0-9a-z]+-0)","head":"\1","streamId":"[0-9a-f-]{36}"\}\nid: \1\n\n/,
  )
  expect(Object.fromEntries(client.response.headers)).toMatchObject({
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'private, no-store, no-transform',
    'x-accel-buffering': 'no',
  })
})

test('the first block to a browser that reconnects takes up what WebKit has left of an event', async () => {
  await using db = await database()
  await using service = await serve(db, { MAX_STREAMS: '2' })
  const token = await tokenFor('42')
  await using first = await openReady(service.url, { token })
  const lastEventId = first.lastEventId ?? ''
  await using back = await openReady(service.url, { token, lastEventId })
  await using refused = await open(service.url, { token, lastEventId })
  await refused.control('reconnect')
  for (const { text } of [back, refused]) expect(text).toMatch(/^retry: \d+\nevent: ping\n\n/)
})

test('WebKit gets it always: it may be back before it has any id', async () => {
  await using db = await database()
  await using service = await serve(db)
  const webKit = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko)'
  const userAgents: [name: string, isWebKit: boolean][] = [
    [`${webKit} Version/17.4 Safari/605.1.15`, true],
    [`${webKit} CriOS/131.0 Mobile/15E148 Safari/604.1`, true],
    ['Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36', false],
    ['Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0', false],
  ]
  for (const [userAgent, isWebKit] of userAgents) {
    await using client = await openReady(service.url, {
      token: await tokenFor('42'),
      headers: { 'user-agent': userAgent },
    })
    expect([userAgent, client.text.includes('event: ping\n\n')]).toEqual([userAgent, isWebKit])
    expect(client.text).toContain('event: ping\ndata: connected\n\n')
  }
})

test('refuses a request without a token before any stream begins', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await open(service.url)

  expect(client.response.status).toBe(401)
  expect(client.response.headers.get('content-type')).toBe('application/problem+json')
  expect(JSON.parse(client.text)).toMatchObject({ status: 401, code: 'token_missing' })
})
