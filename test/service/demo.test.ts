import { expect, test } from 'bun:test'
import { database } from '../support/database.ts'
import { serve } from '../support/service.ts'

const post = (url: string, body: object, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })

test('there is no demo, and nobody signs in with it, unless it is asked for', async () => {
  await using db = await database()
  await using service = await serve(db)
  expect((await fetch(service.url, { redirect: 'manual' })).headers.get('location')).toBe(
    'dashboard',
  )
  expect((await post(`${service.url}/demo/session`, { user: '1' })).status).toBe(404)
})

test('refuses other sites, strangers and nonsense with a problem', async () => {
  await using db = await database()
  await using service = await serve(db, {}, { demo: true })
  const { url } = service
  const signedIn = await post(`${url}/demo/session`, { user: '1' })
  const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? ''
  expect(signedIn.headers.get('set-cookie')).toMatch(/; HttpOnly; SameSite=Lax/i)
  const notification = { channel: 'user-1', payload: '{}', type: '' }

  const cases: [Promise<Response>, number, string][] = [
    [post(`${url}/demo/session`, { user: '9' }), 422, 'unprocessable'],
    [post(`${url}/demo/session`, {}), 422, 'unprocessable'],
    [
      post(`${url}/demo/session`, { user: '1' }, { origin: 'https://evil.test' }),
      403,
      'origin_forbidden',
    ],
    [
      post(`${url}/demo/session`, { user: '1' }, { 'sec-fetch-site': 'cross-site' }),
      403,
      'origin_forbidden',
    ],
    [post(`${url}/demo/notifications`, notification), 401, 'token_missing'],
    [
      post(`${url}/demo/notifications`, { ...notification, channel: 'x y' }, { cookie }),
      400,
      'bad_notification',
    ],
    [fetch(`${url}/demo/deliveries/00000000-0000-0000-0000-000000000000`), 401, 'token_missing'],
    [fetch(`${url}/demo/deliveries/'; drop table`, { headers: { cookie } }), 422, 'unprocessable'],
    [
      fetch(`${url}/demo/deliveries/${'-'.repeat(36)}`, { headers: { cookie } }),
      422,
      'unprocessable',
    ],
  ]
  for (const [response, status, code] of cases) {
    const answer = await response
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(await answer.json()).toMatchObject({ status, code })
  }
  const published = await post(`${url}/demo/notifications`, notification, { cookie })
  expect(published.status).toBe(200)
})

test('says what is wrong with what can not be published, and nothing of what is inside', async () => {
  await using db = await database()
  await using service = await serve(db, {}, { demo: true })
  const cookie = await cookieOf(service.url, '1')
  const tooDeep = `{"a": ${'['.repeat(200_000)}${']'.repeat(200_000)}}`

  const cases: [channel: string, payload: string, detail: RegExp][] = [
    ['no body', '{}', /^unknown channel "no body"\. A channel is user-\{user id\}/],
    ['user-1\0', '{}', /^Postgres can not store the character U\+0000\.$/],
    ['user-1', '[1]', /^the payload is not a JSON object but array: \[1\]\. Wrap it/],
    ['user-1', '{', /^The payload is not JSON\.$/],
    ['user-1', String.raw`{"a": "\u0000"}`, /^Postgres can not store the character U\+0000\.$/],
    ['user-1', '{"a": 1e999999}', /^The payload has a number that is too large/],
    ['user-1', tooDeep, /^The payload is nested too deeply\.$/],
    [
      'user-1',
      `{"a": "${'x'.repeat(70_000)}"}`,
      /^the payload has 70009 bytes, .* MAX_EVENT_BYTES/,
    ],
  ]
  for (const [channel, payload, detail] of cases) {
    const body = { channel, payload, type: '' }
    const answer = await post(`${service.url}/demo/notifications`, body, { cookie })
    const isTooLarge = payload.length > 70_000 && payload !== tooDeep
    expect(await answer.json()).toMatchObject({
      status: isTooLarge ? 413 : 400,
      code: isTooLarge ? 'payload_too_large' : 'bad_notification',
      detail: expect.stringMatching(detail),
    })
  }
})

test('gives the admin among its users a role level, unless there is one', async () => {
  await using db = await database()
  await using service = await serve(db, { ADMIN_ROLE_LEVEL: '7' }, { demo: true })
  const roles = () => db.sql`select user_id, role_level from kairan.roles`

  await cookieOf(service.url, '1')
  expect<unknown>([...(await roles())]).toEqual([])
  await cookieOf(service.url, '3')
  expect<unknown>([...(await roles())]).toEqual([{ user_id: '3', role_level: 7 }])
  await db.sql`update kairan.roles set role_level = 0`
  await cookieOf(service.url, '3')
  expect<unknown>([...(await roles())]).toEqual([{ user_id: '3', role_level: 0 }])
})

test('takes requests of its own page, also through a tunnel to https', async () => {
  await using db = await database()
  await using service = await serve(db, {}, { demo: true })
  const statusWith = async (headers: Record<string, string>) =>
    (await post(`${service.url}/demo/session`, { user: '1' }, headers)).status

  const origin = 'https://tunnel.test'
  expect(await statusWith({ origin: service.url })).toBe(200)
  expect(await statusWith({ origin, 'sec-fetch-site': 'same-origin' })).toBe(200)
  expect(await statusWith({ origin, 'sec-fetch-site': 'same-site' })).toBe(403)
})

const cookieOf = async (url: string, user: string) => {
  const answer = await post(`${url}/demo/session`, { user })
  return answer.headers.get('set-cookie')?.split(';')[0] ?? ''
}
