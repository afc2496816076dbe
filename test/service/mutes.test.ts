import { expect, test } from 'bun:test'
import type postgres from 'postgres'
import { open, openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { dispatched } from '../support/dispatched.ts'
import { eventually } from '../support/eventually.ts'
import { inTime } from '../support/in-time.ts'
import { pageOf } from '../support/inbox.ts'
import { serve, tokenFor } from '../support/service.ts'

type Db = { sql: TestDatabase['sql'] | postgres.TransactionSql }

const publish = async ({ sql }: Db, type: string | null, channels = ['user-42']) => {
  const [row] = await sql<{ id: string }[]>`
    select kairan.publish(${channels}::text[], '{}', ${type}) as id`
  return row?.id ?? ''
}

const mute = async ({ sql }: Db, mutes: object[], userId = '42') => {
  await sql`select kairan.set_mutes(${userId}, ${sql.json(mutes.map(one => ({ ...one })))})`
}

const preferences = async (url: string, body?: object, userId = '42') => {
  const response = await fetch(`${url}/notifications/preferences`, {
    headers: {
      authorization: `Bearer ${await tokenFor(userId)}`,
      'content-type': 'application/json',
    },
    ...(body && { method: 'PUT', body: JSON.stringify(body) }),
  })
  return { status: response.status, body: await response.json() }
}

test('what is muted does not come, live, replayed or pending, by type, beginning or channel, nor is it counted', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const token = await tokenFor('42')
  await db.sql`insert into kairan.members values ('org-7', '42')`
  await using here = await openReady(one.url, { token })
  await using there = await openReady(two.url, { token })
  await using other = await openReady(one.url, { token: await tokenFor('7') })
  const start = here.lastEventId ?? ''
  expect(
    (
      await preferences(one.url, {
        mute: [{ type: 'news.*' }, { type: 'ad' }, { channel: 'org-7' }],
      })
    ).status,
  ).toBe(200)
  for (const stream of [here, there]) await stream.control('preferences')

  for (const type of ['news.sport', 'ad', 'news', 'ads']) await publish(db, type)
  await publish(db, 'order', ['org-7'])
  await publish(db, 'ad', ['all-users'])
  await db.sql`select pg_notify('kairan', '{"channel": "user-42", "payload": {}, "type": "news.now"}')`
  // On another of its channels it comes.
  await publish(db, 'both', ['org-7', 'user-42'])
  const last = await publish(db, 'last')
  for (const stream of [here, there]) {
    await eventually(() => stream.events.some(({ id }) => id === last))
    expect(stream.events.map(({ type }) => type)).toEqual(['news', 'ads', 'both', 'last'])
  }
  await other.atLeast(1)
  expect(other.events.map(({ type }) => type)).toEqual(['ad'])
  expect(other.controls.map(({ type }) => type)).toEqual(['ready'])

  const page = await pageOf(one.url, '42')
  expect(page.unread).toBe(4)
  expect(page.notifications.map(({ type }) => type)).toEqual(['last', 'both', 'ads', 'news'])
  await using fresh = await serve(db)
  for (const url of [one.url, fresh.url]) {
    await using back = await open(url, { token, lastEventId: start })
    await eventually(() => back.events.some(({ id }) => id === last))
    expect(back.events.map(({ type }) => type)).toEqual(['news', 'ads', 'both', 'last'])
  }

  // It waits until it is not muted any more; of what came, it is written down.
  await eventually(async () => {
    const pending = await db.sql`
      select from kairan.deliveries where channel = 'user-42' and status = 'pending'`
    return pending.length === 2
  })
  await preferences(one.url, { mute: [] })
  await using later = await open(one.url, { token })
  await eventually(() => later.events.length >= 2)
  expect(later.events.map(({ type }) => type)).toEqual(['news.sport', 'ad'])
  expect((await pageOf(one.url, '42')).unread).toBe(8)
})

test('nothing comes that is published right after it was muted, and nothing is missing that is published right after it was not', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using stream = await openReady(service.url, { token: await tokenFor('42') })
  for (let turn = 0; turn < 20; turn++) {
    const isMuted = turn % 2 === 0
    const before = stream.events.length
    // Also in the same transaction.
    const first = await db.sql.begin(async sql => {
      await mute({ sql }, isMuted ? [{ type: 'n.*' }] : [])
      return turn % 3 === 0 ? publish({ sql }, 'n.a') : ''
    })
    const ids = [first, await publish(db, 'n.b'), await publish(db, 'other')].filter(Boolean)
    await eventually(() => stream.events.some(({ id }) => id === ids.at(-1)))
    const came = stream.events.slice(before).map(({ id }) => id)
    expect([turn, came]).toEqual([turn, isMuted ? ids.slice(-1) : ids])
  }
})

test('a mute that ends is over within seconds, for streams and counts', async () => {
  await using db = await database()
  await using service = await serve(db)
  await inTime([2500, 8000, 16_000], async ms => {
    const user = `of-${ms}`
    const channels = [`user-${user}`]
    await using stream = await openReady(service.url, { token: await tokenFor(user) })
    const until = new Date(Date.now() + ms).toISOString()
    await preferences(service.url, { mute: [{ type: '*', until }] }, user)
    await publish(db, null, channels)
    const page = await pageOf(service.url, user)
    if (Date.now() >= Date.parse(until)) return false
    expect(page).toMatchObject({ unread: 0, notifications: [], unreadUntil: until })
    const told = () => stream.controls.filter(({ type }) => type === 'preferences').length
    await eventually(() => told() === 2)
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(until))
    const id = await publish(db, 'a', channels)
    await eventually(() => stream.events.some(event => event.id === id))
    expect((await pageOf(service.url, user)).unread).toBe(2)
    expect((await preferences(service.url, undefined, user)).body).toEqual({ mute: [] })
    return true
  })
})

test('says what is muted, and what is wrong with what it should mute', async () => {
  await using db = await database()
  await using service = await serve(db)
  expect((await preferences(service.url)).body).toEqual({ mute: [] })
  const until = '2100-01-01T00:00:00.000Z'
  const mutes = [{ type: '*', until }, { type: 'news.*' }, { channel: 'org-7' }]
  const past = { type: 'a', until: '2000-01-01T00:00:00Z' }
  const { body } = await preferences(service.url, { mute: [...mutes, past] })
  expect(body).toEqual({ mute: mutes })
  expect((await preferences(service.url)).body).toEqual({ mute: mutes })
  expect((await preferences(service.url, undefined, '7')).body).toEqual({ mute: [] })
  for (const bad of [
    {},
    { mute: {} },
    { mute: ['a'] },
    { mute: [{}] },
    { mute: [{ type: 'a', channel: 'b' }] },
    { mute: [{ type: '' }] },
    { mute: [{ type: 'x'.repeat(201) }] },
    { mute: [{ type: 7 }] },
    { mute: [{ channel: 'a b' }] },
    { mute: [{ type: 'a', until: 'soon' }] },
    { mute: [{ type: 'a', more: 1 }] },
    { mute: Array.from({ length: 201 }, (_, n) => ({ type: `t${n}` })) },
    { mute: [], more: 1 },
  ]) {
    const answer = await preferences(service.url, bad)
    expect([bad, answer.status, answer.body.code]).toEqual([bad, 400, 'bad_request'])
  }
  expect((await preferences(service.url)).body).toEqual({ mute: mutes })
  const long = { mute: [{ type: `${'x'.repeat(200)}*` }, { type: '%_\\' }] }
  expect((await preferences(service.url, long)).status).toBe(200)
})

test('"explain" says who muted it, and since when, and when it will be sent', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.roles values ('admin', 100)`
  const explained = async (id: string) => {
    const response = await fetch(`${service.url}/admin/explain?notification=${id}&user=42`, {
      headers: { authorization: `Bearer ${await tokenFor('admin')}` },
    })
    return response.json()
  }
  const { body } = await preferences(service.url, {
    mute: [{ type: 'news.*' }, { channel: 'all-users' }],
  })
  expect(body.mute).toHaveLength(2)
  const [row] =
    await db.sql`select to_char(since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as since from kairan.mutes`
  const muted = await publish(db, 'news.sport')
  const broadcast = await publish(db, 'x', ['all-users'])
  const both = await publish(db, 'x', ['all-users', 'user-42'])
  const [scheduled] = await db.sql`
    select kairan.publish('user-42', '{}', send_at => '2100-01-01T00:00:00Z') as id`
  await dispatched(service, 4)
  expect((await explained(muted)).outcome).toBe('muted')
  expect((await explained(muted)).sentence).toBe(
    `news.* was muted by the user at ${row?.since}: it is neither sent nor in the inbox.`,
  )
  expect((await explained(broadcast)).sentence).toStartWith('all-users was muted by the user at ')
  expect((await explained(both)).outcome).toBe('pending')
  expect(await explained(String(scheduled?.id))).toMatchObject({
    outcome: 'scheduled',
    sentence: 'It is scheduled: it will be sent at 2100-01-01T00:00:00.000Z.',
  })
})
