import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { ask, mark, pageOf } from '../support/inbox.ts'
import { serve, tokenFor } from '../support/service.ts'

const publish = async ({ sql }: TestDatabase, channel: string, count = 1) => {
  for (let n = 0; n < count; n++) await sql`select kairan.publish(${channel}, '{}')`
  await eventually(async () => {
    const [row] = await sql`select count(*)::int as n from kairan.deliveries where seq is null`
    return row?.n === 0
  })
}

const post = async (url: string, path: 'seen' | 'archive', body: object, userId = '42') => {
  const answer = await ask(url, userId, { path: `/${path}`, post: body })
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`)
  return answer.body
}

const counts = async (url: string, userId = '42') => {
  const { unread, unseen } = await pageOf(url, userId)
  return [unread, unseen]
}

test('seen is a position: the unread after it are unseen, and what is read is seen', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 'user-42', 3)
  expect(await counts(service.url)).toEqual([3, 3])
  const { notifications, cursor } = await pageOf(service.url, '42')
  const [newest, second] = notifications
  expect(await post(service.url, 'seen', { upTo: second?.cursor })).toMatchObject({
    unread: 3,
    unseen: 1,
  })
  // It does not go back.
  expect(await post(service.url, 'seen', { upTo: notifications[2]?.cursor })).toMatchObject({
    unseen: 1,
  })
  await mark(service.url, '42', { ids: [newest?.id] })
  expect(await counts(service.url)).toEqual([2, 0])
  await mark(service.url, '42', { ids: [newest?.id], read: false })
  expect(await counts(service.url)).toEqual([3, 1])
  await post(service.url, 'seen', { upTo: cursor })
  await publish(db, 'all-users')
  expect(await counts(service.url)).toEqual([4, 1])
  // Somebody else's is another one.
  expect(await counts(service.url, '7')).toEqual([1, 1])
})

test('what is archived leaves list and counts, and can be had back as it was', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 'user-42', 4)
  const { notifications } = await pageOf(service.url, '42')
  const [first = '', second = '', third = '', fourth = ''] = notifications.map(({ id }) => id)
  await mark(service.url, '42', { ids: [second] })
  const list = async (query = '') =>
    (await pageOf(service.url, '42', query)).notifications.map(({ id, read }) => [id, read])

  const body = await post(service.url, 'archive', { ids: [first, second, crypto.randomUUID()] })
  expect(body).toMatchObject({ unread: 2, unseen: 2 })
  expect(await list()).toEqual([
    [third, false],
    [fourth, false],
  ])
  expect(await list('?archived=true')).toEqual([
    [first, false],
    [second, true],
  ])
  expect(await list('?archived=true&unread=true')).toEqual([[first, false]])
  // What is marked in the archive counts nothing.
  expect(await mark(service.url, '42', { ids: [second], read: false })).toBe(2)
  await mark(service.url, '42', { ids: [second] })
  expect(
    await post(service.url, 'archive', { ids: [first, second], archived: false }),
  ).toMatchObject({ unread: 3, unseen: 3 })
  expect((await list()).slice(0, 2)).toEqual([
    [first, false],
    [second, true],
  ])
  expect(await list('?archived=true')).toEqual([])
})

test('all streams of the user hear of both, on every instance, with the counts', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const token = await tokenFor('42')
  await using here = await openReady(one.url, { token })
  await using there = await openReady(two.url, { token })
  await using other = await openReady(two.url, { token: await tokenFor('7') })
  await publish(db, 'user-42', 2)
  const { notifications, cursor } = await pageOf(one.url, '42')
  const ids = notifications.slice(0, 1).map(({ id }) => id)
  await post(one.url, 'seen', { upTo: cursor })
  await post(one.url, 'archive', { ids })
  await post(two.url, 'archive', { ids, archived: false })
  for (const stream of [here, there]) {
    expect(await stream.control('seen')).toMatchObject({ upTo: cursor, unread: 2, unseen: 0 })
    expect(await stream.control('archived')).toMatchObject({ ids, unread: 1, unseen: 0 })
    expect(await stream.control('unarchived')).toMatchObject({ ids, unread: 2, unseen: 0 })
  }
  await publish(db, 'user-7')
  await other.atLeast(1)
  expect(other.controls.map(({ type }) => type)).toEqual(['ready'])
})

test('who joins a channel later finds what is on it unread and in the list, whatever was marked around it', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 'user-42')
  await publish(db, 'org-7')
  await publish(db, 'user-42')
  const ids = (await pageOf(service.url, '42')).notifications.map(({ id }) => id)
  await mark(service.url, '42', { ids })
  await post(service.url, 'archive', { ids })
  expect(await counts(service.url)).toEqual([0, 0])
  await db.sql`insert into kairan.members (channel, user_id, since) values ('org-7', '42', '-infinity')`
  const page = await pageOf(service.url, '42')
  expect([page.unread, page.notifications.map(item => [item.channel, item.read])]).toEqual([
    1,
    [['org-7', false]],
  ])
})

test('says what is wrong with a request', async () => {
  await using db = await database()
  await using service = await serve(db)
  for (const [path, body, code] of [
    ['/seen', {}, 'bad_request'],
    ['/seen', { upTo: 7 }, 'bad_request'],
    ['/seen', { upTo: 'x' }, 'bad_cursor'],
    ['/seen', { upTo: 'other-7' }, 'bad_cursor'],
    ['/seen', { upTo: 'a-1', ids: [] }, 'bad_request'],
    ['/archive', { ids: ['x'] }, 'bad_request'],
    ['/archive', { archived: true }, 'bad_request'],
    ['/archive', { ids: [], archived: 'yes' }, 'bad_request'],
    ['/archive', { ids: [], read: true }, 'bad_request'],
  ] as const) {
    const { status, body: problem } = await ask(service.url, '42', { path, post: body })
    expect([path, body, status, problem.code]).toEqual([path, body, 400, code])
  }
})
