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
  expect((await fetch(service.url)).status).toBe(404)
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
      post(`${url}/demo/notifications`, { ...notification, channel: 'x' }, { cookie }),
      422,
      'unprocessable',
    ],
    [fetch(`${url}/demo/deliveries/00000000-0000-0000-0000-000000000000`), 401, 'token_missing'],
    [fetch(`${url}/demo/deliveries/'; drop table`, { headers: { cookie } }), 422, 'unprocessable'],
  ]
  for (const [response, status, code] of cases) {
    const answer = await response
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(await answer.json()).toMatchObject({ status, code })
  }
  const published = await post(`${url}/demo/notifications`, notification, { cookie })
  expect(published.status).toBe(200)
})
