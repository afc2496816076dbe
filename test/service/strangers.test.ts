import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { fromSource } from '../support/binary.ts'
import { open } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { run } from '../support/program.ts'
import { tokenWith } from '../support/publish.ts'
import { serve, type TestService, tokenFor } from '../support/service.ts'

// What proxies, staging sites and other applications add to a request must not hide what is Kairan's.

let db: TestDatabase
let service: TestService
beforeAll(async () => {
  db = await database()
  service = await serve(db)
})
afterAll(async () => {
  await service[Symbol.asyncDispose]()
  await db[Symbol.asyncDispose]()
})

/** Writes these lines to a connection of its own. Resolves with what comes until `until`, or until it is closed. */
const say = async (url: string, lines: string[], until = '\r\n\r\n') => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname.replaceAll(/[[\]]/g, ''))
  let text = ''
  let closed = false
  socket.on('data', bytes => {
    text += bytes
  })
  socket.on('error', () => undefined)
  socket.on('close', () => {
    closed = true
  })
  socket.write([...lines, '', ''].join('\r\n'))
  await eventually(() => closed || text.includes(until))
  socket.destroy()
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]), text }
}

const own = await tokenFor('42')
const other = await tokenFor('43')
const stranger = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c3RyYW5nZXI'
const staging = 'Authorization: Basic c3RhZ2luZzpzZWNyZXQ='

/** Headers of a request for a stream, the members of its query, and the channels that it is given. */
const streams: [what: string, headers: string[], query: string][] = [
  ['a token', [`Authorization: Bearer ${own}`], ''],
  ['a cookie', [`Cookie: kairan_token=${own}`], ''],
  ['a cookie in quotes', [`Cookie: a=1;kairan_token="${own}"; b=2`], ''],
  ['a cookie behind the sign-in of a staging site', [staging, `Cookie: kairan_token=${own}`], ''],
  [
    "a cookie behind a proxy's token",
    [`Authorization: Bearer ${stranger}`, `Cookie: kairan_token=${own}`],
    '',
  ],
  ['two schemes in one header', [`${staging}, Bearer ${own}`], ''],
  ['a stale cookie first', [`Cookie: kairan_token=stale; kairan_token=${own}`], ''],
  ['a stale cookie last', [`Cookie: kairan_token=${own}; kairan_token=${stranger}`], ''],
  ['a removed cookie', [`Cookie: kairan_token=; kairan_token=${own}; kairan_token=`], ''],
  ['names that begin alike', [`Cookie: xkairan_token=${other}; kairan_token=${own}`], ''],
  [
    'members of mail programs',
    [`Authorization: Bearer ${own}`],
    '?utm_source=a&fbclid=%ff&gclid&=&a=b=c&access_token=x&user=43',
  ],
  ["another service's ticket", [`Cookie: kairan_token=${own}`], '?ticket=ST-1856-aA5Yuvrxzpv8'],
  ['an empty ticket', [`Cookie: kairan_token=${own}`], '?ticket='],
  ['an empty cursor', [`Authorization: Bearer ${own}`, 'Last-Event-ID: '], '?last_event_id='],
  [
    'headers of proxies',
    [
      `Cookie: kairan_token=${own}`,
      ...['Via: 1.1 x', 'X-Forwarded-Host: evil.test', 'X-HTTP-Method-Override: DELETE'],
      ...['X-Original-URL: /admin', 'Forwarded: for=1.2.3.4', 'X-Real-IP: x', 'Purpose: prefetch'],
      ...[
        'Range: bytes=0-',
        'If-None-Match: *',
        'Accept-Encoding: br',
        'Upgrade-Insecure-Requests: 1',
      ],
    ],
    '',
  ],
]

for (const [what, headers, query] of streams) {
  test(`opens the stream of its user: ${what}`, async () => {
    const { status, text } = await say(
      service.url,
      [`GET /notifications/stream${query} HTTP/1.1`, 'Host: localhost', ...headers],
      '"type":"ready"',
    )
    expect(status).toBe(200)
    expect(text).toContain('"type":"ready"')
  })
}

test('a ticket counts behind the sign-in of a staging site, or the token of a proxy', async () => {
  for (const added of [staging, `Authorization: Bearer ${stranger}`]) {
    const answer = await fetch(`${service.url}/notifications/tickets`, {
      method: 'POST',
      headers: { authorization: `Bearer ${own}` },
    })
    const { ticket } = await answer.json()
    const { status } = await say(service.url, [
      ...[`GET /notifications/stream?ticket=&ticket=${ticket} HTTP/1.1`, 'Host: localhost', added],
    ])
    expect(status).toBe(200)
  }
})

test('every list of channels counts', async () => {
  const asked = (query: string) => open(service.url, { token: own, query })
  await using client = await asked('?channels=user-42&a=b&channels=all-users,%20user-42')
  await client.control('ready')
  await db.sql`select kairan.publish('user-42', '{"n": 1}'), kairan.publish('all-users', '{"n": 2}')`
  const events = await client.atLeast(2)
  expect(events.map(({ channel }) => channel).toSorted()).toEqual(['all-users', 'user-42'])
  await using forbidden = await asked('?channels=user-42&channels=user-43')
  expect(forbidden.response.status).toBe(403)
})

/** What is wrong is said in the words of the one that its client can do something about. */
const refused: [what: string, headers: string[], code: string][] = [
  ['nothing', [], 'token_missing'],
  ['another scheme alone', [staging], 'token_invalid'],
  ['a token that is not ours', [`Authorization: Bearer ${stranger}`], 'token_invalid'],
  ['cookies that are not ours', ['Cookie: kairan_token=a; kairan_token=b'], 'token_invalid'],
  [
    'an expired cookie among others',
    [`Cookie: kairan_token=a; kairan_token=${await tokenWith({ sub: '42', exp: 1_700_000_000 })}`],
    'token_expired',
  ],
  [
    'an expired token, whatever the cookie says',
    [
      `Authorization: Bearer ${await tokenWith({ sub: '42', exp: 1_700_000_000 })}`,
      `Cookie: kairan_token=${other}`,
    ],
    'token_expired',
  ],
  [
    'a cookie of the page of another site',
    [`Cookie: kairan_token=${own}`, 'Sec-Fetch-Site: cross-site', 'Origin: https://evil.test'],
    'origin_forbidden',
  ],
]

for (const [what, headers, code] of refused) {
  test(`refuses with ${code}: ${what}`, async () => {
    const lines = ['GET /notifications HTTP/1.1', 'Host: localhost', ...headers]
    expect((await say(service.url, lines, '"code"')).text).toContain(`"${code}"`)
  })
}

/** Requests as balancers send them, and the statuses of their answers. */
const probes: [line: string, headers: string[], status: number][] = [
  ['GET /readyz HTTP/1.0', [], 200],
  ['HEAD /readyz HTTP/1.0', [], 200],
  ['GET /livez?probe=1 HTTP/1.0', [], 200],
  ['GET /metrics HTTP/1.0', [], 200],
  // HAProxy's `option httpchk` without more.
  ['OPTIONS / HTTP/1.0', [], 200],
  ['OPTIONS /readyz HTTP/1.0', [], 200],
  ['GET /readyz HTTP/1.1', ['Host:'], 200],
  ['GET /readyz HTTP/1.1', ['Host: 10.0.0.7:3000'], 200],
  ['GET /readyz HTTP/1.1', ['Host: a b'], 200],
  ['GET http://kairan.test/readyz HTTP/1.1', ['Host: kairan.test'], 200],
  ['GET / HTTP/1.0', [], 421],
  ['GET /notifications/stream HTTP/1.0', [`Authorization: Bearer ${own}`], 421],
  ['POST /notifications HTTP/1.0', ['Content-Length: 2'], 421],
  ['GET /dashboard HTTP/1.1', ['Host: evil.test'], 421],
  ['GET //readyz HTTP/1.0', [], 421],
]

for (const [line, headers, status] of probes) {
  test(`answers ${status} to ${[line, ...headers].join(', ').slice(0, 80)}`, async () => {
    // It is not ready for a moment when the machine pauses: LISTEN is proven anew.
    await eventually(() => service.service.reasons().length === 0)
    expect((await say(service.url, [line, ...headers])).status).toBe(status)
  })
}

test('healthcheck asks where start listens, whatever HOST and PORT are', async () => {
  for (const HOST of ['::', '[::1]', '0.0.0.0', ' 127.0.0.1 ', '', 'localhost']) {
    await using listening = await serve(db, { HOST })
    const { port } = new URL(listening.url)
    // It gives up after seconds, as it should: this process may have been paused for longer.
    const asked = await eventually(() =>
      run([...fromSource, 'healthcheck'], { env: { HOST, PORT: port } }).catch(() => null),
    )
    expect(asked).toBe('{"status":"ok"}')
  }
  const missing = run([...fromSource, 'healthcheck'], { env: { PORT: '', HOST: '::1' } })
  await expect(missing).rejects.toThrow()
})
