import { expect, test } from 'bun:test'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { description } from '../support/description.ts'
import { publish, publisherToken } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

const app = 'https://app.example.com'

const corsOf = ({ headers }: Response) => ({
  origin: headers.get('access-control-allow-origin'),
  credentials: headers.get('access-control-allow-credentials'),
  vary: headers.get('vary'),
})

test('pages of CORS_ORIGINS may read every answer, errors and streams too; others none', async () => {
  await using db = await database()
  await using service = await serve(db, { CORS_ORIGINS: `${app}, http://localhost:5173` })
  const { url } = service
  const bearer = `Bearer ${await publisherToken()}`
  const answers = async (origin: string) => {
    const headers = { origin, authorization: bearer }
    await using stream = await open(url, { headers })
    await using unknown = await open(url, { headers: { origin } })
    return [
      stream.response,
      unknown.response,
      await fetch(`${url}/nothing-here`, { headers }),
      await publish(url, { channel: 'user-1', payload: {} }, { headers }),
      await publish(url, 'x'.repeat(2_000_000), { headers }),
      await publish(url, '{', { headers }),
      await fetch(`${url}/notifications/tickets`, { method: 'POST', headers }),
    ]
  }
  const statuses = [200, 401, 404, 201, 413, 400, 201]
  for (const origin of [app, 'http://localhost:5173']) {
    const found = await answers(origin)
    expect(found.map(({ status }) => status)).toEqual(statuses)
    for (const answer of found) {
      expect(corsOf(answer)).toEqual({ origin, credentials: 'true', vary: 'Origin' })
    }
  }
  for (const origin of [`${app}.evil.test`, 'http://app.example.com', 'null', 'constructor']) {
    const found = await answers(origin)
    expect(found.map(({ status }) => status)).toEqual(statuses)
    for (const answer of found)
      expect(corsOf(answer)).toMatchObject({ origin: null, vary: 'Origin' })
  }
})

test('answers the question that browsers ask before', async () => {
  await using db = await database()
  await using service = await serve(db, { CORS_ORIGINS: app })
  const preflight = (origin: string) =>
    fetch(`${service.url}/notifications`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type,idempotency-key',
      },
    })
  const yes = await preflight(app)
  expect(yes.status).toBe(204)
  expect(corsOf(yes)).toEqual({ origin: app, credentials: 'true', vary: 'Origin' })
  const methods = yes.headers.get('access-control-allow-methods')?.split(', ') ?? []
  const used = Object.values(description().paths).flatMap(path => Object.keys(path))
  expect(methods.toSorted()).toEqual(
    [...new Set(used.map(method => method.toUpperCase()))].toSorted(),
  )
  expect(yes.headers.get('access-control-allow-headers')).toBe(
    'Authorization, Content-Type, Idempotency-Key, Last-Event-ID, traceparent',
  )
  expect(yes.headers.get('access-control-max-age')).toBe('600')
  expect(corsOf(await preflight('https://evil.test')).origin).toBeNull()
})

test('says nothing about origins when none is listed', async () => {
  await using db = await database()
  await using service = await serve(db)
  const answer = await fetch(`${service.url}/livez`, { headers: { origin: app } })
  expect(corsOf(answer)).toEqual({ origin: null, credentials: null, vary: null })
})

test('a cookie counts for pages of this service and of CORS_ORIGINS, before anything is done', async () => {
  await using db = await database()
  await using service = await serve(db, { CORS_ORIGINS: app })
  const { url } = service
  const cookie = `kairan_token=${await publisherToken()}`
  const evil = 'https://evil.test'
  await db.sql`select kairan.publish('user-shop', '{}')`

  const cases: [headers: Record<string, string>, allowed: boolean][] = [
    [{ 'sec-fetch-site': 'cross-site' }, false],
    [{ 'sec-fetch-site': 'same-site' }, false],
    [{ 'sec-fetch-site': 'cross-site', origin: evil }, false],
    [{ 'sec-fetch-site': 'cross-site', origin: url }, false],
    [{ origin: evil }, false],
    [{ origin: 'null' }, false],
    [{ origin: `${app}:8443` }, false],
    [{ 'sec-fetch-site': 'nonsense' }, false],
    [{ 'sec-fetch-site': 'cross-site', origin: app }, true],
    [{ 'sec-fetch-site': 'same-site', origin: app }, true],
    [{ 'sec-fetch-site': 'same-origin' }, true],
    [{ 'sec-fetch-site': 'none' }, true],
    [{ origin: url }, true],
    // TLS has ended before this service.
    [{ origin: url.replace('http:', 'https:') }, true],
    [{}, true],
  ]
  const send = (headers: Record<string, string>) =>
    fetch(`${url}/notifications`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain', cookie, ...headers },
    })
  for (const [headers, allowed] of cases) {
    // With a body that nobody takes: where the request comes from is asked first.
    const answer = await send(headers)
    expect([headers, answer.status]).toEqual([headers, allowed ? 415 : 403])
    if (!allowed) expect(await answer.json()).toMatchObject({ code: 'origin_forbidden' })
  }

  await using refused = await open(url, { headers: { cookie, 'sec-fetch-site': 'cross-site' } })
  expect(refused.response.status).toBe(403)
  const [delivery] = await db.sql`select status from kairan.deliveries`
  expect(delivery?.status).toBe('pending')
  // A token that a page has sent itself comes from a page that has it.
  const token = await tokenFor('shop')
  await using client = await openReady(url, { token, headers: { origin: evil, cookie } })
  expect(await client.atLeast(1)).toHaveLength(1)
})

test('serves the names that it was told, and loopback, against DNS rebinding', async () => {
  await using db = await database()
  const statuses = async (url: string, hosts: string[]) =>
    Promise.all(
      hosts.map(async host => {
        const answer = await fetch(`${url}/notifications/stream`, { headers: { host } })
        const { code }: { code: string } = await answer.json()
        return [answer.status, code]
      }),
    )
  const served = [401, 'token_missing']
  const refused = [421, 'host_forbidden']
  {
    await using service = await serve(db)
    const hosts = ['localhost:1', '127.0.0.1', '[::1]:80', 'a.localhost', 'evil.test', '10.0.0.1']
    const found = await statuses(service.url, hosts)
    expect(found).toEqual([served, served, served, served, refused, refused])
    // Whoever probes knows an address only.
    const probe = await fetch(`${service.url}/livez`, { headers: { host: '10.0.0.1:3000' } })
    expect(probe.status).toBe(200)
  }
  {
    await using service = await serve(db, { ALLOWED_HOSTS: 'Notify.example.com, 10.0.0.1' })
    const hosts = ['notify.example.com:8443', '10.0.0.1', 'localhost', 'evil.test', 'example.com']
    const found = await statuses(service.url, hosts)
    expect(found).toEqual([served, served, served, refused, refused])
  }
  {
    await using service = await serve(db, { HOST: '0.0.0.0' })
    const found = await statuses(service.url, ['anything.test', '10.0.0.1', 'localhost'])
    expect(found).toEqual([served, served, served])
  }
})
