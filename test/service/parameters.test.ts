import { expect, test } from 'bun:test'
import { database } from '../support/database.ts'
import { description } from '../support/description.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

const { paths } = description()
const id = '01a20887-0000-7000-8000-000000000000'

/** Every route that reads a query, with the parameters that it has to have. */
const routes = Object.entries(paths).flatMap(([path, methods]) =>
  (methods.get?.parameters ?? [])
    .filter(parameter => parameter.in === 'query')
    .map(({ name }) => ({ path, name })),
)
const needed: Record<string, Record<string, string>> = {
  '/admin/explain': { notification: id, user: '1' },
}
/** These may be given several times. */
const lists = ['type', 'channels']

/** The stream has a parser of its own, and answers without end when it accepts something. */
const isStream = ({ path }: { path: string }) => path === '/notifications/stream'

/** Values that are wrong for every parameter but a text filter: then they only match nothing. */
const values = [
  ...['%00', '%ED%A0%80', '%ff', 'x'.repeat(5000), '%F0%9F%98%80'.repeat(300), '%27%3B--', '%'],
  ...[
    '-1',
    '1e1',
    '1.5',
    '0x10',
    '%EF%BC%92',
    '9'.repeat(15),
    '9'.repeat(400),
    'NaN',
    'null',
    '[]',
  ],
  ...['2026-02-30', '2026-13-45', '2026-01-01T25:00:00Z', '0000-01-01', '99999-01-01', 'infinity'],
  ...['2026-01-01T00:00:00%2B16:00', '0001-01-01', '9999-12-31T23:59:59.999999999Z'],
  ...[
    `9999999999.9_${id}`,
    `99999999999999.9_${id}`,
    `1.1_${id}`,
    'abcdefgh-9007199254740993',
    ',',
  ],
]

const setUp = async () => {
  const db = await database()
  const service = await serve(db)
  await db.sql`insert into kairan.roles values ('boss', 100)`
  const token = await tokenFor('boss')
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  return {
    service,
    async ask(path: string, query: string, init: RequestInit = {}) {
      const abort = new AbortController()
      const response = await fetch(`${service.url}${path}?${query}`, {
        headers,
        signal: abort.signal,
        ...init,
      })
      const isText = response.headers.get('content-type')?.startsWith('text/event-stream')
      const body = isText || response.status === 204 ? {} : await response.json()
      abort.abort()
      return { status: response.status, code: body.code, detail: String(body.detail) }
    },
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]()
      await db[Symbol.asyncDispose]()
    },
  }
}

test('no value of a parameter is a failure of the service', async () => {
  await using server = await setUp()
  expect(routes.length).toBeGreaterThan(15)
  for (const { path, name } of routes) {
    for (const value of values) {
      const { [name]: _, ...rest } = needed[path] ?? {}
      const query = `${new URLSearchParams(rest)}&${name}=${value}`
      const { status, code } = await server.ask(path, query)
      const what = `${path}?${name}=${value.slice(0, 40)}`
      expect([what, status < 500, status < 400 || typeof code === 'string']).toEqual([
        what,
        true,
        true,
      ])
    }
  }
  expect(server.service.logs.filter(({ level }) => level === 'error')).toEqual([])
}, 60_000)

test('a parameter has the same rules on every route', async () => {
  await using server = await setUp()
  const rules: [names: string[], value: string, says: RegExp][] = [
    [['limit'], '', /^limit is empty: leave it out, or send a whole number from 1 to 100\.$/],
    [['limit'], '0', /^limit has to be a whole number from 1 to 100, not "0"\.$/],
    [['limit'], '101', /, not "101"\.$/],
    [['limit'], '1e1', /, not "1e1"\.$/],
    [['limit'], '%201', /, not " 1"\.$/],
    [['type'], 'x'.repeat(201), /200 characters, not "x+/],
    [['type'], '', /^type is empty/],
    [['type'], '%ED%A0%80', /^type is not UTF-8: "type=%ED%A0%80"/],
    [['user', 'channel'], '%00', /, not ".*\\u0000"\.$/],
    [
      ['since', 'until'],
      '2026-02-30',
      /^(since|until) has to be a day or a time .* not "2026-02-30"\.$/,
    ],
  ]
  for (const [names, value, says] of rules) {
    const found = routes.filter(route => names.includes(route.name) && !isStream(route))
    expect(found).not.toBeEmpty()
    for (const { path, name } of found) {
      const { [name]: _, ...rest } = needed[path] ?? {}
      const answer = await server.ask(path, `${new URLSearchParams(rest)}&${name}=${value}`)
      expect([path, name, answer]).toEqual([
        path,
        name,
        { status: 400, code: 'bad_request', detail: expect.stringMatching(says) },
      ])
    }
  }
})

test('a repeated parameter is refused in words, unless it is a list', async () => {
  await using server = await setUp()
  for (const { path, name } of routes.filter(route => !isStream(route))) {
    if (lists.includes(name) && path === '/notifications') continue
    const { [name]: _, ...rest } = needed[path] ?? {}
    const answer = await server.ask(path, `${new URLSearchParams(rest)}&${name}=1&${name}=2`)
    expect([path, name, answer]).toEqual([
      path,
      name,
      {
        status: 400,
        code: 'bad_request',
        detail: `${name} is given 2 times, as "1", "2". Send it once.`,
      },
    ])
  }
})

test('what others add to a query changes nothing', async () => {
  await using server = await setUp()
  const others =
    'utm_source=mail&utm_source=again&fbclid=%ff%00&__proto__=x&constructor=&=&_=1&Limit=x'
  const all = [
    ...new Set(routes.map(({ path }) => path)),
    '/livez',
    '/readyz',
    '/admin/me',
    '/admin/overview',
  ]
  for (const path of all) {
    // What makes it unready for a moment is none of the query's doing.
    await eventually(() => server.service.service.reasons().length === 0)
    const query = `${new URLSearchParams(needed[path])}`
    const [bare, with_] = [
      await server.ask(path, query),
      await server.ask(path, `${query}&${others}`),
    ]
    expect([path, with_.status]).toEqual([path, 200])
    expect(with_).toEqual(bare)
  }
  for (const path of ['/notifications/tickets', '/admin/prune']) {
    const { status } = await server.ask(path, others, { method: 'POST', body: '{}' })
    expect([path, status < 300]).toEqual([path, true])
  }
})

test('a body is refused for a member that the route does not have, and changes nothing', async () => {
  await using server = await setUp()
  const bodies: [path: string, body: object][] = [
    ['/notifications/tickets', { channel: 'user-boss' }],
    ['/notifications/read', { all: true, user: '1' }],
    ['/notifications/receipts', { ids: [id], read: true }],
    ['/admin/redeliver', { chanel: 'user-1' }],
    ['/admin/redeliver', { notification: id, status: 'failed' }],
    ['/admin/redeliver', { status: ['failed'] }],
    ['/admin/redeliver', { since: '2026-02-30' }],
    ['/admin/disconnect', { userId: '1', channel: 'user-1' }],
    ['/admin/disconnect', { userId: {} }],
    ['/admin/prune', { keep: '7d' }],
  ]
  for (const [path, body] of bodies) {
    const answer = await server.ask(path, '', { method: 'POST', body: JSON.stringify(body) })
    expect([path, body, answer]).toEqual([
      path,
      body,
      { status: 400, code: 'bad_request', detail: expect.stringMatching(/.{20,}\.$/) },
    ])
  }
})
