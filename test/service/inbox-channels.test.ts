import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { ask, mark, pageOf } from '../support/inbox.ts'
import { serve, tokenFor } from '../support/service.ts'

const publish = async ({ sql }: TestDatabase, ...channels: string[]) => {
  await sql`select kairan.publish(${channels}::text[], '{}')`
}

/** Waits until all that was published is numbered. */
const numbered = ({ sql }: TestDatabase, count: number) =>
  eventually(async () => (await sql`select from kairan.numbered`).length === count)

test('a new user starts with what concerns them, and is new only once', async () => {
  await using db = await database()
  await using service = await serve(db, { NEW_USERS: 'read' })
  for (const channel of ['all-users', 'user-new', 'all-users', 'user-here'])
    await publish(db, channel)
  await numbered(db, 4)
  const first = await pageOf(service.url, 'new')
  expect([first.unread, first.unseen]).toEqual([1, 1])
  expect(first.notifications.map(({ channel, read }) => [channel, read])).toEqual([
    ['all-users', true],
    ['user-new', false],
    ['all-users', true],
  ])
  await publish(db, 'all-users')
  await numbered(db, 5)
  expect((await pageOf(service.url, 'new')).unread).toBe(2)
  expect(await mark(service.url, 'new', { ids: [first.notifications[1]?.id] })).toBe(1)

  // A stream is an arrival, too, and so is a mark.
  await using stream = await openReady(service.url, { token: await tokenFor('here') })
  const here = async () => (await db.sql`select from kairan.arrivals where user_id = 'here'`).length
  await eventually(async () => (await here()) === 1)
  stream.close()
  await publish(db, 'all-users')
  await numbered(db, 6)
  expect((await pageOf(service.url, 'here')).unread).toBe(2)
  expect(await mark(service.url, 'marks', { ids: [] })).toBe(0)
  await publish(db, 'all-users')
  await numbered(db, 7)
  expect((await pageOf(service.url, 'marks')).unread).toBe(1)

  // And one whose inbox was removed by retention is not new again.
  await db.sql`delete from kairan.inboxes`
  expect((await pageOf(service.url, 'here')).unread).toBe(3)
})

test('NEW_USERS=unread has new users find all that is there unread', async () => {
  await using db = await database()
  await using service = await serve(db, { NEW_USERS: 'unread' })
  await publish(db, 'all-users')
  await publish(db, 'user-1')
  await numbered(db, 2)
  expect((await pageOf(service.url, '1')).unread).toBe(2)
})

test('a channel shows from the join on, for everybody from when they are here, or from when its member row says', async () => {
  await using db = await database()
  await using service = await serve(db, { NEW_USERS: 'read' })
  await publish(db, 'org-7')
  await publish(db, 'news')
  await numbered(db, 2)
  await db.sql`insert into kairan.members values ('org-7', '1'), ('news', '*')`
  await db.sql`insert into kairan.members (channel, user_id, since) values ('org-7', '2', '-infinity')`
  await publish(db, 'org-7')
  await publish(db, 'news')
  await numbered(db, 4)
  const shown = async (userId: string) => {
    const { notifications, unread } = await pageOf(service.url, userId)
    return [unread, notifications.map(({ channel, read }) => `${channel} ${read}`).join()]
  }
  expect(await shown('1')).toEqual([1, 'news true,org-7 false'])
  expect(await shown('2')).toEqual([1, 'news true,org-7 false,org-7 true'])
  expect(await shown('3')).toEqual([0, 'news true'])
})

test('beyond MAX_CHANNELS the inbox is of those that are named; others are refused', async () => {
  await using db = await database()
  await using service = await serve(db, { MAX_CHANNELS: '5' })
  await db.sql`insert into kairan.members select 'org-' || n, '1' from generate_series(1, 20) n`
  for (const n of [1, 2, 20]) await publish(db, `org-${n}`)
  await publish(db, 'org-21')
  await numbered(db, 4)
  const whole = await ask(service.url, '1')
  expect([whole.status, whole.body.code]).toEqual([400, 'too_many_channels'])
  expect(whole.body.detail).toContain('?channels=')
  const some = await pageOf(service.url, '1', '?channels=org-1,org-20&channels=user-1')
  expect([some.unread, some.notifications.map(({ channel }) => channel)]).toEqual([
    2,
    ['org-20', 'org-1'],
  ])
  const refused = await ask(service.url, '1', { query: '?channels=org-1,org-21' })
  expect([refused.status, refused.body.code]).toEqual([403, 'channel_forbidden'])
  const many = await ask(service.url, '1', {
    query: `?channels=${'org-1,org-2,org-3,org-4,org-5,org-6'}`,
  })
  expect([many.status, many.body.code]).toEqual([400, 'too_many_channels'])
  expect((await ask(service.url, '1', { query: '?channels=' })).body.code).toBe('bad_channels')

  await using stream = await openReady(service.url, {
    token: await tokenFor('1'),
    query: '?channels=org-1,org-2',
  })
  const { body } = await ask(service.url, '1', {
    post: { all: true },
    query: '?channels=org-1,org-20',
  })
  expect(body.unread).toBe(0)
  const told = await stream.control('read')
  expect(told).toMatchObject({ channels: ['org-1', 'org-20'] })
  expect(told).not.toHaveProperty('unread')
  expect((await pageOf(service.url, '1', '?channels=org-1,org-2')).unread).toBe(1)
  for (const path of ['/seen', '/archive', '/receipts']) {
    const post = path === '/seen' ? { upTo: some.cursor } : { ids: [] }
    const { status } = await ask(service.url, '1', { post, path, query: '?channels=org-2' })
    expect([path, status]).toEqual([path, path === '/receipts' ? 204 : 200])
    expect((await ask(service.url, '1', { post, path })).status).toBe(400)
  }
})

test('a mark of some channels leaves the others, and tells the other streams the whole count', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.members values ('org-1', '1'), ('org-2', '1')`
  for (let n = 0; n < 5; n++) {
    for (const channel of ['org-1', 'org-2', 'user-1']) await publish(db, channel)
  }
  await numbered(db, 15)
  await using stream = await openReady(service.url, { token: await tokenFor('1') })
  const { notifications } = await pageOf(service.url, '1', '?channels=org-1')
  const { body } = await ask(service.url, '1', {
    post: { upTo: notifications[2]?.cursor },
    query: '?channels=org-1',
  })
  expect(body.unread).toBe(2)
  expect(await stream.control('read')).toMatchObject({ channels: ['org-1'], unread: 12 })
  const after = await pageOf(service.url, '1')
  expect(after.unread).toBe(12)
  expect(after.notifications.filter(({ read }) => read).map(({ channel }) => channel)).toEqual([
    'org-1',
    'org-1',
    'org-1',
  ])
  // One that is on another channel only is not marked.
  const other = after.notifications.find(({ channel }) => channel === 'org-2')
  await ask(service.url, '1', { post: { ids: [other?.id] }, query: '?channels=org-1' })
  expect((await pageOf(service.url, '1')).unread).toBe(12)
})

test('a stream that resumes goes by what its user may read today, the inbox by the join', async () => {
  await using db = await database()
  const { sql } = db
  await using first = await serve(db, { NEW_USERS: 'read' })
  await using second = await serve(db, { NEW_USERS: 'read' })
  const cursorAfter = async (n: number) => {
    await numbered(db, n)
    const [row] = await sql`select epoch || '-' || head as cursor from kairan.log`
    return String(row?.cursor)
  }
  /** What a stream of this user that resumes gets on each instance, by the type. */
  const resumed = async (user: string, lastEventId: string) => {
    const got = await Promise.all(
      [first, second].map(async ({ url }) => {
        await using client = await openReady(url, { token: await tokenFor(user), lastEventId })
        await eventually(() => client.events.some(({ type }) => type === 'last'))
        return client.events.map(({ type }) => type)
      }),
    )
    expect(got[0]).toEqual(got[1] ?? [])
    return got[0]
  }
  const shown = async (user: string) =>
    (await pageOf(first.url, user)).notifications.map(({ type }) => type).toReversed()
  const publishTyped = (type: string) =>
    sql`select kairan.publish('{org-7}'::text[], '{}', ${type})`

  await sql`insert into kairan.members values ('org-7', 'stays'), ('org-7', 'anew')`
  const cursor = await cursorAfter(0)
  await publishTyped('before')
  await cursorAfter(1)
  await sql`insert into kairan.members values ('org-7', 'joins')`
  await sql`insert into kairan.members values ('org-7', 'since', '-infinity')`
  // As an application does that copies its members from elsewhere.
  await sql`delete from kairan.members where user_id = 'anew'`
  await sql`insert into kairan.members values ('org-7', 'anew')`
  await publishTyped('last')
  await cursorAfter(2)

  for (const user of ['stays', 'joins', 'since', 'anew']) {
    expect(await resumed(user, cursor), user).toEqual(['before', 'last'])
  }
  expect(await shown('stays')).toEqual(['before', 'last'])
  expect(await shown('joins')).toEqual(['last'])
  expect(await shown('since')).toEqual(['before', 'last'])
  expect(await shown('anew')).toEqual(['last'])
})
