import { expect, test } from 'bun:test'
import { once } from 'node:events'
import { connect } from 'node:net'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { isReady } from '../support/process.ts'
import { publisherToken } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

/** A plain connection, and all that came on it. */
const dial = async (url: string) => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const seen = { text: '', closed: false }
  socket.on('data', bytes => {
    seen.text += bytes.toString('latin1')
  })
  socket.on('error', () => undefined) // A reset is one of the answers.
  socket.on('close', () => {
    seen.closed = true
  })
  await once(socket, 'connect')
  return { socket, seen }
}

const head = (line: string, ...headers: string[]) =>
  [line, 'Host: localhost', ...headers, '', ''].join('\r\n')

const statusesOf = (text: string) =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))

test('stays up and ready whatever comes over the wire', async () => {
  await using db = await database()
  await using service = await serve(db, { HEARTBEAT_MS: '1000' })
  const { url } = service
  const publisher = `Authorization: Bearer ${await publisherToken()}`
  const json = 'Content-Type: application/json'

  /** What is written at once, and the statuses that come back; none when it is just cut off. */
  const cases: [what: string, bytes: string | Buffer, statuses: number[] | 'closed'][] = [
    ['no HTTP', 'hello\r\n\r\n', [400]],
    ['TLS', Buffer.from('16030100c8010000c40303', 'hex'), 'closed'],
    ['bytes', Buffer.from(Array.from({ length: 4096 }, (_, n) => (n * 7919) % 256)), 'closed'],
    ['no Host', 'GET /livez HTTP/1.1\r\n\r\n', [400]],
    ['a header of 64 KB', head('GET /livez HTTP/1.1', `X: ${'x'.repeat(65_536)}`), [431]],
    ['5,000 headers', head('GET /livez HTTP/1.1', ...Array(5000).fill('X: y')), [431]],
    ['a path of 64 KB', head(`GET /${'x'.repeat(65_536)} HTTP/1.1`), [431]],
    [
      'two lengths',
      head('POST /notifications HTTP/1.1', 'Content-Length: 1', 'Content-Length: 2'),
      [400],
    ],
    ['a length in words', head('POST /notifications HTTP/1.1', 'Content-Length: many'), [400]],
    ['a negative length', head('POST /notifications HTTP/1.1', 'Content-Length: -1'), [400]],
    [
      'a length and chunks',
      head('POST /notifications HTTP/1.1', 'Content-Length: 5', 'Transfer-Encoding: chunked'),
      [400],
    ],
    [
      'a chunk without a size',
      `${head('POST /notifications HTTP/1.1', publisher, json, 'Transfer-Encoding: chunked')}zz\r\n`,
      'closed',
    ],
    [
      'three requests in one',
      head('GET /livez HTTP/1.1').repeat(2) + head('GET /nothing HTTP/1.1', 'Connection: close'),
      [200, 200, 404],
    ],
    [
      'a body that is announced too large',
      head('POST /notifications HTTP/1.1', publisher, json, 'Content-Length: 99999999999'),
      [413],
    ],
  ]
  const found: unknown[] = []
  for (const [what, bytes, statuses] of cases) {
    const { socket, seen } = await dial(url)
    socket.write(bytes)
    await eventually(() =>
      statuses === 'closed'
        ? seen.closed
        : statusesOf(seen.text).length >= statuses.length || seen.closed,
    )
    found.push([what, statuses === 'closed' ? statuses : statusesOf(seen.text)])
    socket.destroy()
  }
  expect(found).toEqual(cases.map(([what, , statuses]) => [what, statuses]))
  await using _client = await openReady(url, { token: await tokenFor('42') })
  await eventually(() => isReady(url))
  expect(service.logs.filter(({ level }) => level === 'error')).toEqual([])
})

test('half requests, slow ones and early leavers keep nobody out, and are cut off', async () => {
  await using db = await database()
  await using service = await serve(db, { HEARTBEAT_MS: '1000' })
  const { url } = service
  const publisher = `Authorization: Bearer ${await publisherToken()}`
  const post = head(
    'POST /notifications HTTP/1.1',
    publisher,
    'Content-Type: application/json',
    'Content-Length: 1000',
  )
  const stream = head(
    'GET /notifications/stream HTTP/1.1',
    `Authorization: Bearer ${await tokenFor('42')}`,
  )

  // What each writes, and what it goes on to write, a little at a time.
  const slow: [begin: string, drip: string][] = [
    ['', ''],
    ['GET /notifi', ''],
    ['GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ', 'x'],
    [`${post}{"channel"`, ''],
    [`${post}{"channel"`, ' '],
  ]
  const held = await Promise.all(
    Array.from({ length: 100 }, async (_, n) => {
      const [begin = '', drip = ''] = slow[n % slow.length] ?? []
      const { socket, seen } = await dial(url)
      socket.write(begin)
      const timer = setInterval(() => drip && !seen.closed && socket.write(drip), 200)
      socket.on('close', () => clearInterval(timer))
      return seen
    }),
  )
  for (let n = 0; n < 100; n++) {
    const { socket } = await dial(url)
    socket.write(n % 2 === 0 ? stream : `${post}{"channel": "user-1", "payload": {`)
    if (n % 4 < 2) socket.resetAndDestroy()
    else socket.end(() => socket.destroy())
  }

  await using client = await openReady(url, { token: await tokenFor('42') })
  await db.sql`select kairan.publish('user-42', '{}')`
  await client.atLeast(1)
  await eventually(() => isReady(url))
  await eventually(() => held.every(({ closed }) => closed), 40_000)
  await eventually(() => service.service.streams === 1)
  expect(service.logs.filter(({ level }) => level === 'error')).toEqual([])
  const [published] = await db.sql`select count(*)::int as n from kairan.notifications`
  expect(published?.n).toBe(1)
})
