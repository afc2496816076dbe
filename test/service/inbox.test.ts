import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { allOf, ask, mark, type Page, pageOf } from '../support/inbox.ts'
import { serve, tokenFor } from '../support/service.ts'

/** Publishes `{n}` for each n, and waits until all have their place in the log. */
const publish = async (
  { sql }: TestDatabase,
  channels: string | string[],
  numbers: number[],
  type: string | null = null,
) => {
  const names = [channels].flat()
  for (const n of numbers) {
    await sql`select kairan.publish(${names}::text[], ${sql.json({ n })}, ${type})`
  }
  await numbered({ sql })
}

const numbered = ({ sql }: Pick<TestDatabase, 'sql'>) =>
  eventually(async () => {
    const [row] = await sql`select count(*)::int as n from kairan.deliveries where seq is null`
    return row?.n === 0
  })

const numbersOf = ({ notifications }: Pick<Page, 'notifications'>) =>
  notifications.map(({ payload }) => Number(payload.n))

const range = (from: number, to: number) =>
  Array.from({ length: Math.abs(to - from) + 1 }, (_, i) => from + Math.sign(to - from) * i)

test('shows what the user may read, newest first, as the stream would, with the digits of its numbers', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`select kairan.publish('user-42', '{"big": 12345678901234567890.10, "metadata": {"a": 1}}', 'a.b')`
  await publish(db, 'user-43', [1])
  await publish(db, 'all-users', [2])
  await using stream = await openReady(service.url, { token: await tokenFor('42') })
  const [event] = await stream.atLeast(1)

  const { text } = await ask(service.url, '42')
  const page: Page = JSON.parse(text)
  expect(page).toEqual({
    notifications: [
      expect.objectContaining({
        channel: 'all-users',
        payload: { n: 2, metadata: { deliveryChannel: 'all-users' } },
        type: null,
        read: false,
      }),
      expect.objectContaining({
        channel: 'user-42',
        id: event?.id,
        type: 'a.b',
        createdAt: event?.createdAt,
        read: false,
      }),
    ],
    next: null,
    unread: 2,
    unseen: 2,
    cursor: page.notifications[0]?.cursor ?? '',
  })
  expect(text).toContain(
    '"big": 12345678901234567890.10,"metadata":{"a": 1,"deliveryChannel":"user-42"}',
  )
})

test('pages by key: what comes meanwhile shifts nothing', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 'user-42', range(1, 10))
  const first = await pageOf(service.url, '42', '?limit=4')
  expect(numbersOf(first)).toEqual([10, 9, 8, 7])
  await publish(db, 'user-42', [11, 12])
  const second = await pageOf(service.url, '42', `?limit=4&before=${first.next}`)
  expect(numbersOf(second)).toEqual([6, 5, 4, 3])
  const third = await pageOf(service.url, '42', `?limit=4&before=${second.next}`)
  expect(numbersOf(third)).toEqual([2, 1])
  expect(third.next).toBeNull()
  // A page that ends with the last has no next one.
  const exact = await pageOf(service.url, '42', '?limit=12')
  expect([numbersOf(exact).length, exact.next]).toEqual([12, null])
})

test('marks by ids, up to a cursor, and all, and back; doing it twice changes nothing', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 'user-42', range(1, 6))
  const { notifications } = await pageOf(service.url, '42')
  const of = (n: number) => {
    const found = notifications.find(({ payload }) => payload.n === n)
    if (!found) throw new Error(`There is no ${n}`)
    return found
  }
  const unread = async () => {
    const page = await pageOf(service.url, '42', '?unread=true')
    const all = await pageOf(service.url, '42')
    expect(all.notifications.filter(({ read }) => !read)).toEqual(page.notifications)
    expect(page.unread).toBe(page.notifications.length)
    return numbersOf(page)
  }

  const unknown = crypto.randomUUID()
  for (const _ of [1, 2]) {
    expect(await mark(service.url, '42', { ids: [of(2).id, of(4).id, unknown] })).toBe(4)
    expect(await unread()).toEqual([6, 5, 3, 1])
  }
  for (const _ of [1, 2]) {
    expect(await mark(service.url, '42', { upTo: of(4).cursor })).toBe(2)
    expect(await unread()).toEqual([6, 5])
  }
  for (const _ of [1, 2]) {
    expect(await mark(service.url, '42', { ids: [of(1).id, of(3).id], read: false })).toBe(4)
    expect(await unread()).toEqual([6, 5, 3, 1])
  }
  expect(await mark(service.url, '42', { all: true })).toBe(0)
  expect(await unread()).toEqual([])
  await publish(db, 'user-42', [7])
  expect(await unread()).toEqual([7])
  // Somebody else's, and what is not there, is nobody's business.
  expect(await mark(service.url, '43', { ids: [of(1).id] })).toBe(0)
})

test('filters by type', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 'user-42', [1, 4], 'order.shipped')
  await publish(db, 'all-users', [2], 'news')
  await publish(db, 'user-42', [3], 'other')
  await publish(db, 'user-42', [5])
  const filtered = async (query: string) => numbersOf(await pageOf(service.url, '42', query))
  expect(await filtered('?type=order.shipped,%20news')).toEqual([2, 4, 1])
  expect(await filtered('?type=news&type=other')).toEqual([3, 2])
  expect(await filtered('?type=nothing')).toEqual([])
  const { notifications } = await pageOf(service.url, '42', '?type=order.shipped')
  await mark(service.url, '42', { ids: [notifications[0]?.id] })
  expect(await filtered('?type=order.shipped&unread=true')).toEqual([1])
})

test('a broadcast is read by each for himself, and once by whom it reached twice', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, ['all-users', 'user-42'], [1])
  await publish(db, 'all-users', [2])
  expect(numbersOf(await pageOf(service.url, '42'))).toEqual([2, 1])
  const { notifications, unread } = await pageOf(service.url, '43')
  expect([unread, notifications.length]).toEqual([2, 2])
  expect(await mark(service.url, '42', { all: true })).toBe(0)
  expect((await pageOf(service.url, '43')).unread).toBe(2)
  expect(await mark(service.url, '43', { ids: [notifications[1]?.id] })).toBe(1)
  expect((await pageOf(service.url, '42')).unread).toBe(0)
  // It was published before this user was first seen.
  expect((await pageOf(service.url, '44')).unread).toBe(2)
})

test('who loses the role level has nothing of it left in the inbox, and none of it is read in between', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 'user-42', [1])
  await publish(db, 'admin-dashboard', [2])
  await publish(db, 'user-42', [3])
  expect(numbersOf(await pageOf(service.url, '42'))).toEqual([3, 1])
  const ids = (await pageOf(service.url, '42')).notifications.map(({ id }) => id)
  expect(await mark(service.url, '42', { ids })).toBe(0)

  await db.sql`insert into kairan.roles values ('42', 100)`
  const admin = await pageOf(service.url, '42')
  expect(admin.notifications.map(({ read }) => read)).toEqual([true, false, true])
  expect(admin.unread).toBe(1)
  await db.sql`delete from kairan.roles`
  const again = await pageOf(service.url, '42')
  expect([numbersOf(again), again.unread]).toEqual([[3, 1], 0])
})

test('what has expired or was removed is neither on a page nor counted', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 'user-42', range(1, 5))
  await db.sql`update kairan.notifications set expires_at = now() where payload ->> 'n' in ('1', '3', '5')`
  await db.sql`delete from kairan.notifications where payload ->> 'n' = '2'`
  const page = await pageOf(service.url, '42')
  expect([numbersOf(page), page.unread]).toEqual([[4], 1])
})

test('retention takes what was read with it', async () => {
  await using db = await database()
  await using service = await serve(db, { RETENTION: '90s' })
  await publish(db, 'user-42', range(1, 3))
  expect(await mark(service.url, '42', { all: true })).toBe(0)
  await db.sql`update kairan.numbered set created_at = now() - interval '1 hour'`
  await eventually(async () => (await db.sql`select from kairan.inboxes`).length === 0)
  expect(await pageOf(service.url, '42')).toMatchObject({ notifications: [], unread: 0 })
  await publish(db, 'user-42', [4])
  expect((await pageOf(service.url, '42')).unread).toBe(1)
})

test('redelivering makes it unread again, at its new place', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 'user-42', [1, 2])
  await mark(service.url, '42', { all: true })
  await db.sql`select kairan.redeliver(id) from kairan.notifications where payload ->> 'n' = '1'`
  await numbered(db)
  const page = await pageOf(service.url, '42')
  expect([numbersOf(page), page.unread]).toEqual([[1, 2], 1])
})

test('every stream of the user hears of a change, on each instance, with the count', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const token = await tokenFor('42')
  await using here = await openReady(one.url, { token })
  await using there = await openReady(two.url, { token, query: '?channels=all-users' })
  await using other = await openReady(two.url, { token: await tokenFor('43') })
  await publish(db, 'user-42', range(1, 4))
  const { notifications } = await pageOf(one.url, '42')
  const [newest, second] = notifications

  await mark(one.url, '42', { ids: [newest?.id, second?.id, crypto.randomUUID()] })
  await mark(one.url, '42', { ids: [newest?.id] }) // Nothing changes, so nothing is said.
  await mark(two.url, '42', { ids: [second?.id], read: false })
  await mark(two.url, '42', { upTo: second?.cursor })
  await mark(one.url, '42', { ids: [newest?.id], read: false })
  await mark(one.url, '42', { all: true })
  for (const client of [here, there]) {
    await eventually(() => client.controls.at(-1)?.all)
    const [read, unread, upTo, back, all] = client.controls.slice(1)
    const revisions = [read, unread, upTo, back, all].map(control => Number(control?.revision))
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
    expect(new Set(revisions).size).toBe(5)
    const counted = { cursor: notifications[0]?.cursor, revision: expect.any(Number) }
    expect(read).toEqual({ type: 'read', ids: expect.any(Array), unread: 2, unseen: 2, ...counted })
    expect(read?.ids).toHaveLength(2)
    expect(read?.ids).toEqual(expect.arrayContaining([newest?.id, second?.id]))
    expect(unread).toEqual({ type: 'unread', ids: [second?.id], unread: 3, unseen: 3, ...counted })
    expect(upTo).toEqual({ type: 'read', upTo: second?.cursor, unread: 0, unseen: 0, ...counted })
    expect(back).toEqual({ type: 'unread', ids: [newest?.id], unread: 1, unseen: 1, ...counted })
    expect(all).toEqual({
      type: 'read',
      all: true,
      upTo: newest?.cursor,
      unread: 0,
      unseen: 0,
      ...counted,
    })
    expect(client.controls).toHaveLength(6)
    // They are not in the log: nobody resumes from them.
    const told = client.received.filter(({ data }) => data.includes('"unread"'))
    expect(told.map(({ id }) => id).every(id => !id || !newest || id <= newest.cursor)).toBe(true)
    expect(client.text).not.toMatch(/"unread":\d+}\nid:/)
  }
  expect(other.controls).toHaveLength(1)
})

test('nobody hears of a change that was rolled back, nor of one in SQL before its commit', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  await publish(db, 'user-42', [1])
  const markIn = (sql: Pick<TestDatabase['sql'], 'unsafe'>) =>
    sql.unsafe(
      `select unread from kairan.mark_inbox('42', '{user-42}', '{"all": true, "upTo": 1000}')`,
    )
  await db.sql
    .begin(async sql => {
      await markIn(sql)
      throw new Error('rolled back')
    })
    .catch(() => undefined)
  expect((await pageOf(service.url, '42')).unread).toBe(1)
  await db.sql.begin(async sql => void (await markIn(sql)))
  await client.control('read')
  expect(client.controls.filter(({ type }) => type === 'read')).toHaveLength(1)
})

test('page and stream from its cursor are all there is, while many publish', async () => {
  await using db = await database()
  await using service = await serve(db)
  const total = 600
  const writer = async (first: number) => {
    for (let n = first; n < total; n += 4) {
      const channels =
        n % 5 === 0 ? ['user-42', 'all-users'] : n % 3 === 0 ? ['all-users'] : ['user-42']
      await db.sql`select kairan.publish(${channels}::text[], ${db.sql.json({ n })})`
    }
  }
  const writers = Promise.all([0, 1, 2, 3].map(writer))
  const token = await tokenFor('42')
  const rounds = []
  for (let round = 0; round < 8; round++) {
    const page = await pageOf(service.url, '42', '?limit=100')
    const rest = await allOf(service.url, '42', '?limit=100', page.next)
    const stream = await openReady(service.url, { token, lastEventId: page.cursor })
    rounds.push({ page, known: [...page.notifications, ...rest].map(({ id }) => id), stream })
  }
  await writers
  await numbered(db)
  const rows = await db.sql`
    select d.notification_id as id, d.seq from kairan.deliveries d order by d.seq`
  const ids = new Set(rows.map(({ id }) => String(id)))
  for (const { page, known, stream } of rounds) {
    expect(new Set(known).size).toBe(known.length)
    expect(page.unread).toBe(known.length)
    const seq = Number(page.cursor.split('-')[1])
    const later = rows.filter(row => Number(row.seq) > seq).map(({ id }) => String(id))
    const events = await stream.atLeast(later.length)
    expect(events.map(({ id }) => String(id))).toEqual(later)
    expect(new Set([...known, ...later])).toEqual(ids)
    await stream[Symbol.asyncDispose]()
  }
})

test('counts exactly up to a thousand; beyond, it says so', async () => {
  await using db = await database()
  await using service = await serve(db)
  const add = (count: number) => db.sql`
    insert into kairan.notifications (channels, payload) select '{user-42}', '{}' from generate_series(1, ${count}::int)`
  await add(1000)
  await numbered(db)
  const page = await pageOf(service.url, '42', '?limit=1')
  expect([page.unread, page.unreadIsLeast]).toEqual([1000, undefined])
  await add(1)
  await numbered(db)
  const more = await pageOf(service.url, '42', '?limit=1')
  expect([more.unread, more.unreadIsLeast]).toEqual([1000, true])
  const { body } = await ask(service.url, '42', { post: { ids: [] } })
  expect(body).toEqual({
    unread: 1000,
    unreadIsLeast: true,
    unseen: 1000,
    unseenIsLeast: true,
    cursor: more.cursor,
    revision: expect.any(Number),
  })
})

test('filters a long channel by a rare type, and misses none', async () => {
  await using db = await database()
  await using service = await serve(db)
  const add = (from: number, to: number) => db.sql`
    insert into kairan.notifications (channels, payload, type)
    select '{user-42}', jsonb_build_object('n', n), case when n % 1500 = 0 then 'rare' else 't' || n % 3 end
    from generate_series(${from}::int, ${to}::int) n`
  await add(1, 7000)
  await numbered(db)
  const rare = async () =>
    numbersOf({ notifications: await allOf(service.url, '42', '?limit=3&type=rare') })
  expect(await rare()).toEqual([6000, 4500, 3000, 1500])
  expect(numbersOf(await pageOf(service.url, '42', '?type=rare'))).toEqual([6000, 4500, 3000, 1500])

  await db.sql`delete from kairan.notifications where payload ->> 'n' = '4500'`
  await db.sql`select kairan.redeliver(id) from kairan.notifications where payload ->> 'n' = '1500'`
  await add(7001, 9000)
  await numbered(db)
  expect(await rare()).toEqual([9000, 7500, 1500, 6000, 3000])
  expect(
    numbersOf({ notifications: await allOf(service.url, '42', '?limit=100&type=t1') }),
  ).toEqual(range(9000, 1).filter(n => n % 1500 !== 0 && n % 3 === 1))
})

const badPages: [query: string, status: number, code: string][] = [
  ['?limit=0', 400, 'bad_request'],
  ['?limit=101', 400, 'bad_request'],
  ['?limit=1.5', 400, 'bad_request'],
  ['?limit=', 400, 'bad_request'],
  ['?before=x', 400, 'bad_cursor'],
  ['?before=abcdefgh-5', 400, 'bad_cursor'],
  ['?type=', 400, 'bad_request'],
  ['?type=%00', 400, 'bad_request'],
  [`?type=${'x'.repeat(401)}`, 400, 'bad_request'],
  [`?type=${Array.from({ length: 21 }, (_, n) => n)}`, 400, 'bad_request'],
  ['?unread=1', 400, 'bad_request'],
]

const id = '01a20887-0000-7000-8000-000000000000'
const badChanges: [body: unknown, status: number, code: string][] = [
  ['', 400, 'bad_request'],
  ['{', 400, 'bad_request'],
  [[], 400, 'bad_request'],
  [{}, 400, 'bad_request'],
  [{ ids: 'all' }, 400, 'bad_request'],
  [{ ids: ['x'] }, 400, 'bad_request'],
  [{ ids: [1] }, 400, 'bad_request'],
  [{ ids: Array(101).fill(id) }, 400, 'bad_request'],
  [{ ids: [id], all: true }, 400, 'bad_request'],
  [{ ids: [id], read: 'no' }, 400, 'bad_request'],
  [{ all: false }, 400, 'bad_request'],
  [{ all: true, read: false }, 400, 'bad_request'],
  [{ all: true, unread: false }, 400, 'bad_request'],
  [{ upTo: 5 }, 400, 'bad_request'],
  [{ upTo: 'x' }, 400, 'bad_cursor'],
  [{ upTo: 'abcdefgh-5' }, 400, 'bad_cursor'],
  [{ ids: [], padding: 'x'.repeat(20_000) }, 413, 'body_too_large'],
]

test('refuses what it does not understand, and says what it takes', async () => {
  await using db = await database()
  await using service = await serve(db)
  const answers = async (options: Parameters<typeof ask>[2]) => {
    const { status, body } = await ask(service.url, '42', options)
    return [status, body.code]
  }
  for (const [query, ...expected] of badPages) {
    expect([query, ...(await answers({ query }))]).toEqual([query, ...expected])
  }
  for (const [post, ...expected] of badChanges) {
    expect([post, ...(await answers({ post }))]).toEqual([post, ...expected])
  }
  expect(await answers({ post: {}, headers: { 'content-type': 'text/plain' } })).toEqual([
    415,
    'unsupported_media_type',
  ])
  expect(await answers({ headers: { authorization: 'Basic x' } })).toEqual([401, 'token_invalid'])
  const cookie = { authorization: '', cookie: `kairan_token=${await tokenFor('42')}` }
  const crossSite = { ...cookie, 'sec-fetch-site': 'cross-site' }
  expect(
    (await fetch(`${service.url}/notifications`, { headers: { cookie: cookie.cookie } })).status,
  ).toBe(200)
  const forged = await fetch(`${service.url}/notifications/read`, {
    method: 'POST',
    headers: {
      cookie: crossSite.cookie,
      'sec-fetch-site': 'cross-site',
      'content-type': 'application/json',
    },
    body: '{"all":true}',
  })
  expect(forged.status).toBe(403)
})

test('a change up to a cursor ahead of the log does not reach what comes later', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 'user-42', [1])
  const { cursor } = await pageOf(service.url, '42')
  const [epoch] = cursor.split('-')
  expect(await mark(service.url, '42', { upTo: `${epoch}-1000000` })).toBe(0)
  await publish(db, 'user-42', [2])
  expect((await pageOf(service.url, '42')).unread).toBe(1)
})
