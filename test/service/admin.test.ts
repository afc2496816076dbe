import { expect, test } from 'bun:test'
import { ask, makeAdmin } from '../support/admin.ts'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { secret, serve, tokenFor } from '../support/service.ts'

const looks = ['me', 'overview', 'streams', 'presence', 'history', 'deliveries', 'audit', 'system']
const changes = ['disconnect', 'publish', 'redeliver', 'prune']

test('is for users of the admin role level alone', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  const id = crypto.randomUUID()
  const paths = [...looks, `notifications/${id}`, `explain?notification=${id}&user=1`]
  for (const path of paths) {
    expect([path, (await ask(service.url, path, undefined, 'other')).code]).toEqual([
      path,
      'admin_only',
    ])
    expect([path, (await fetch(`${service.url}/admin/${path}`)).status]).toEqual([path, 401])
  }
  for (const path of changes) {
    expect([path, (await ask(service.url, path, {}, 'other')).code]).toEqual([path, 'admin_only'])
  }
  for (const path of looks) {
    expect([path, (await ask(service.url, path)).status]).toEqual([path, 200])
  }
  // With the cookie, but from a page of somebody else.
  const response = await fetch(`${service.url}/admin/disconnect`, {
    method: 'POST',
    headers: { cookie: `kairan_token=${await tokenFor('boss')}`, origin: 'https://evil.test' },
    body: '{}',
  })
  expect(response.status).toBe(403)
})

test('DASHBOARD=readonly looks and changes nothing; off is not there', async () => {
  await using db = await database()
  await using readonly = await serve(db, { DASHBOARD: 'readonly' })
  await using off = await serve(db, { DASHBOARD: 'off' })
  await makeAdmin(db)
  expect(await ask(readonly.url, 'me')).toMatchObject({ userId: 'boss', isReadOnly: true })
  for (const path of changes) {
    expect([path, (await ask(readonly.url, path, {})).code]).toEqual([path, 'read_only'])
  }
  for (const path of ['dashboard', 'dashboard.js', 'admin/overview']) {
    expect((await fetch(`${off.url}/${path}`)).status).toBe(404)
  }
})

test('refuses what it can not have meant', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  const bad = [
    'deliveries?limit=0',
    'deliveries?limit=101',
    'deliveries?status=gone',
    'deliveries?channel=non%20sense',
    'deliveries?since=yesterday',
    'deliveries?until=2026-13-45',
    'deliveries?before=1;drop',
    `deliveries?type=${'x'.repeat(201)}`,
    'deliveries?type=%00',
    'streams?before=x',
    'streams?before=1_x',
    'streams?user=a%20b',
    'presence?limit=x',
    'explain?notification=x&user=1',
    `explain?notification=${crypto.randomUUID()}`,
  ]
  for (const path of bad) {
    expect([path, (await ask(service.url, path)).code]).toEqual([path, 'bad_request'])
  }
  const bodies: [path: string, body: object][] = [
    ['disconnect', {}],
    ['disconnect', { userId: 'a b' }],
    ['redeliver', { notification: 'x' }],
    ['redeliver', { notification: crypto.randomUUID(), channel: 'x y' }],
    ['redeliver', { status: 'gone' }],
    [
      'publish',
      {
        notifications: [
          { channel: 'user-1', payload: {} },
          { channel: 'user-2', payload: {} },
        ],
      },
    ],
  ]
  for (const [path, body] of bodies) {
    expect([path, body, (await ask(service.url, path, body)).code]).toEqual([
      path,
      body,
      'bad_request',
    ])
  }
  expect((await ask(service.url, `notifications/${crypto.randomUUID()}`)).code).toBe('not_found')
  expect((await ask(service.url, 'publish', { channel: 'x y', payload: {} })).code).toBe(
    'bad_notification',
  )
})

test('the charts have a past: what was before the page was opened', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  // The first moment may be before the instance has written its row.
  const moment = await eventually(async () => {
    const { moments } = await ask(service.url, 'history')
    return moments.at(-1)?.instances.length > 0 && moments.at(-1)
  })
  expect(moment).toMatchObject({ head: 0, instances: [{ facts: { streams: 0 } }] })
})

test('shows the figures of all instances, and the streams of all', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  await makeAdmin(db)
  await using a = await openReady(one.url, { token: await tokenFor('a') })
  await using b = await openReady(two.url, { token: await tokenFor('b') })
  await db.sql`select kairan.publish('all-users', '{}'), kairan.publish('user-away', '{}')`
  await Promise.all([a.atLeast(1), b.atLeast(1)])

  const overview = await eventually(async () => {
    const answer = await ask(one.url, 'overview')
    const delivered = answer.instances.map(
      ({ facts }: { facts: { delivered: number } }) => facts.delivered,
    )
    // An instance counts what it delivered before the statuses and its streams are written.
    const isWritten = answer.pending === 1 && answer.users === 2
    return isWritten && `${delivered}` === '1,1' && answer
  })
  expect(overview).toMatchObject({ users: 2, head: 2, pending: 1, unnumbered: 0 })
  const { streams } = await ask(two.url, 'streams')
  expect(streams.map(({ userId }: { userId: string }) => userId).toSorted()).toEqual(['a', 'b'])
  expect(streams[0].address).toBe('127.0.0.1')
  const on = async (channel: string) =>
    (await ask(one.url, `streams?channel=${channel}`)).streams
      .map(({ userId }: { userId: string }) => userId)
      .toSorted()
  expect([await on('all-users'), await on('user-a'), await on('org-7')]).toEqual([
    ['a', 'b'],
    ['a'],
    [],
  ])

  const first = await ask(one.url, 'streams?limit=1')
  const second = await ask(one.url, `streams?limit=1&before=${encodeURIComponent(first.next)}`)
  expect([first.streams[0].userId, second.streams[0].userId].toSorted()).toEqual(['a', 'b'])
  const online = await ask(one.url, 'presence?limit=1')
  expect(online).toMatchObject({ users: [{ userId: 'a', streams: 1 }], next: 'a' })
  expect((await ask(one.url, 'presence?after=a')).users).toMatchObject([
    { userId: 'b', streams: 1 },
  ])

  await ask(one.url, 'disconnect', { userId: 'b' })
  await b.control('revoked')
})

test('finds deliveries, and puts them back, one notification or all that fit', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  const { id } = await ask(service.url, 'publish', {
    channel: 'user-1',
    payload: { big: 1 },
    type: 'a',
  })
  await db.sql`select kairan.publish('user-' || n, '{}', 'b') from generate_series(2, 60) n`
  await eventually(
    async () => (await ask(service.url, 'deliveries?limit=100')).deliveries.length === 60,
  )
  await db.sql`update kairan.numbered set status = 'f', error = 'test' where channel <> 'user-1'`

  const listed = await ask(service.url, 'deliveries?channel=user-1')
  expect(listed.deliveries).toMatchObject([
    { notificationId: id, channel: 'user-1', type: 'a', status: 'pending', recipients: 0 },
  ])
  expect((await ask(service.url, 'deliveries?type=b&status=pending')).deliveries).toEqual([])
  expect((await ask(service.url, 'deliveries?until=2020-01-01')).deliveries).toEqual([])
  const holding = async (payload: string) => {
    const query = new URLSearchParams({ payload })
    return (await ask(service.url, `deliveries?${query}`)).deliveries?.length
  }
  for (const found of ['{"big": 1}', '{"big":1.0}', 'BIG', '"big": 1']) {
    expect([found, await holding(found)]).toEqual([found, 1])
  }
  for (const nothing of ['{"big": 2}', '%', '{"a": "\\u0000"}', '{"a": "\\ud800"}']) {
    expect([nothing, await holding(nothing)]).toEqual([nothing, 0])
  }
  const page = await ask(service.url, 'deliveries?status=failed&limit=40')
  const rest = await ask(service.url, `deliveries?status=failed&limit=40&before=${page.next}`)
  const channels = [...page.deliveries, ...rest.deliveries].map(({ channel }) => channel)
  expect(new Set(channels).size).toBe(59)
  expect(rest.next).toBeNull()

  const detail = await ask(service.url, `notifications/${id}`)
  expect(detail).toMatchObject({
    type: 'a',
    payload: '{"big": 1}',
    deliveries: [{ channel: 'user-1' }],
  })

  // All that failed, in two steps and one that finds nothing.
  let changed = 0
  let next: string | null = ''
  let steps = 0
  while (next !== null) {
    const step: { changed: number; next: string | null } = await ask(service.url, 'redeliver', {
      status: 'failed',
      before: next,
      limit: 40,
    })
    changed += step.changed
    next = step.next
    expect(next).not.toBeUndefined()
    steps++
  }
  expect([changed, steps]).toEqual([59, 2])
  expect((await ask(service.url, 'deliveries?status=failed')).deliveries).toEqual([])
  await using client = await openReady(service.url, { token: await tokenFor('60') })
  expect((await client.atLeast(1))[0]?.channel).toBe('user-60')

  await using reader = await openReady(service.url, { token: await tokenFor('1') })
  await reader.atLeast(1)
  await eventually(
    async () =>
      (await ask(service.url, `notifications/${id}`)).deliveries[0].status === 'delivered',
  )
  expect(await ask(service.url, 'redeliver', { notification: id })).toMatchObject({ changed: 1 })
  await reader.atLeast(2)
})

test('removes what is too old, a step at a time', async () => {
  await using db = await database()
  await using service = await serve(db, { RETENTION: '30d' })
  await makeAdmin(db)
  await db.sql`
    insert into kairan.notifications (channels, payload, created_at)
    select '{all-users}', '{}', now() - interval '31 days' from generate_series(1, 2500)`
  await db.sql`select kairan.publish('all-users', '{}')`
  await eventually(async () => (await ask(service.url, 'overview')).head === 2501)
  let removed = 0
  let next: string | null = ''
  while (next !== null) {
    const step: { changed: number; next: string | null } = await ask(service.url, 'prune', {})
    removed += step.changed
    next = step.next
  }
  expect(await db.sql`select from kairan.notifications`).toHaveLength(1)
  expect(removed).toBeGreaterThan(0)
})

test('says why somebody did not get a notification', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  const publish = async (channels: string[], expires: string | null = null) => {
    const [row] = await db.sql`
      select kairan.publish(${channels}::text[], '{}', expires_at => ${expires}::timestamptz) as id`
    return String(row?.id)
  }
  const outcome = async (id: string, user: string) => {
    const { outcome, sentence } = await ask(service.url, `explain?notification=${id}&user=${user}`)
    expect(sentence.length).toBeGreaterThan(20)
    return outcome
  }
  const own = await publish(['user-1'])
  const admins = await publish(['admin-dashboard'])
  const late = await publish(['user-1'], new Date(Date.now() - 1000).toISOString())
  expect(await outcome(crypto.randomUUID(), '1')).toBe('not_published')
  expect(await outcome(own, '2')).toBe('not_addressed')
  expect(await outcome(admins, '1')).toBe('not_authorised')
  expect(await outcome(admins, 'boss')).toBe('pending')
  expect(await outcome(own, '1')).toBe('pending')
  expect(await outcome(late, '1')).toBe('expired')
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  await client.atLeast(1)
  await eventually(async () => (await outcome(own, '1')) === 'delivered')
})

test('a token of an admin becomes the cookie, and goes again', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  const session = (init: RequestInit) =>
    fetch(`${service.url}/admin/session`, { method: 'POST', ...init })
  const token = await tokenFor('boss')
  const signedIn = await session({
    headers: { 'content-type': 'application/json', 'x-forwarded-proto': 'https' },
    body: JSON.stringify({ token }),
  })
  const cookie = signedIn.headers.get('set-cookie') ?? ''
  expect(cookie).toMatch(/^kairan_token=.+; HttpOnly/)
  expect(cookie).toContain('Secure')
  const headers = { cookie: cookie.split(';')[0] ?? '' }
  expect((await fetch(`${service.url}/admin/me`, { headers })).status).toBe(200)
  const out = await session({ method: 'DELETE', headers })
  expect([out.status, out.headers.get('set-cookie')]).toEqual([
    204,
    expect.stringContaining('Max-Age=0'),
  ])

  const wrong: [body: string, headers: Record<string, string>, status: number][] = [
    ['{"token": "nonsense"}', {}, 401],
    ['{}', {}, 400],
    ['nonsense', {}, 400],
    [JSON.stringify({ token }), { origin: 'https://evil.test' }, 403],
  ]
  for (const [body, more, status] of wrong) {
    const answer = await session({ body, headers: { 'content-type': 'application/json', ...more } })
    expect([body, answer.status]).toEqual([body, status])
    expect(answer.headers.get('set-cookie')).toBeNull()
  }
})

test('tells of its settings, and none of their secrets', async () => {
  await using db = await database()
  await using service = await serve(db, { DATABASE_LISTEN_URL: db.url, RETENTION: '2d' })
  await makeAdmin(db)
  const system = await ask(service.url, 'system')
  expect(system.settings).toMatchObject({ RETENTION: '2d', JWT_SECRET: '••••••••' })
  const text = JSON.stringify(system)
  expect(text).not.toContain(secret)
  const { password } = new URL(db.url)
  if (password) expect(text).not.toContain(password)
  expect(system.migrations[0]).toMatchObject({ version: 1, name: 'schema' })
  expect(system.tables.map(({ name }: { name: string }) => name)).toContain('numbered')
})

test('the root leads to the dashboard', async () => {
  await using db = await database()
  await using service = await serve(db)
  const response = await fetch(service.url, { redirect: 'manual' })
  expect(response.status).toBe(302)
  expect(response.headers.get('location')).toBe('dashboard')
  expect(await (await fetch(service.url)).text()).toContain('dashboard.js')
})
