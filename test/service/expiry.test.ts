import { expect, test } from 'bun:test'
import { type Client, open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { inTime } from '../support/in-time.ts'
import { answerOf } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'
import { askTicket } from '../support/tickets.ts'

const streamIdOf = (client: Client) => String(client.controls[0]?.streamId)

/** Whether the time of a token of so many seconds has ended that is signed now. */
const lasts = (seconds: number) => {
  const end = (Math.floor(Date.now() / 1000) + seconds) * 1000
  return () => Date.now() >= end
}

const send = (url: string, streamId: string, headers: HeadersInit) =>
  fetch(`${url}/notifications/stream/${streamId}/token`, { method: 'POST', headers })

const bearer = async (user: string, seconds?: number) => ({
  authorization: `Bearer ${await tokenFor(user, seconds)}`,
})

test('says ahead that the token expires, then ends with it', async () => {
  await using db = await database()
  await using service = await serve(db)
  // The notice comes after half of it: on a machine that is busy, this test may hear of it late.
  await inTime([8, 12, 20], async seconds => {
    await using client = await openReady(service.url, { token: await tokenFor('42', seconds) })
    const notice = () => client.controls.find(({ type }) => type === 'token_expiring')
    await eventually(() => notice() ?? client.ended, 30_000)
    const end = Date.parse(String(notice()?.expiresAt))
    if (!(end > Date.now())) return false
    await client.control('token_expired')
    await eventually(() => client.ended)
    expect(Date.now()).toBeGreaterThanOrEqual(end)
    expect(client.controls.map(({ type }) => type)).toEqual([
      'ready',
      'token_expiring',
      'token_expired',
    ])
    return true
  })
})

test('a new token lets a stream go on, sent to any instance, as a header or as a cookie', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  await inTime([3, 8, 20], async seconds => {
    const isOver = lasts(seconds)
    const token = await tokenFor('42', seconds)
    // One that nobody extends shows that the time of the first token is over.
    await using other = await open(one.url, { token })
    const clients = await Promise.all([1, 2, 3].map(() => open(one.url, { token })))
    if ([other, ...clients].some(({ response }) => response.status === 401)) return false
    await Promise.all(clients.map(client => client.control('ready')))
    const ids = clients.map(streamIdOf)
    const [here, elsewhere, cookie] = ids
    // An instance writes down its streams a moment after they are open.
    const known = () => db.sql`select from kairan.streams where id = any(${ids}::uuid[])`
    await eventually(async () => (await known()).length === 3 || isOver())

    const answers = await Promise.all([
      send(one.url, `${here}`, await bearer('42', 60)),
      send(two.url, `${elsewhere}`, await bearer('42', 60)),
      send(two.url, `${cookie}`, { cookie: `kairan_token=${await tokenFor('42', 60)}` }),
    ])
    if (isOver()) return false
    for (const answer of answers) {
      expect(answer.status).toBe(200)
      const { expiresAt } = await answer.json()
      expect(Date.parse(expiresAt) - Date.now()).toBeGreaterThan(50_000)
    }
    await eventually(() => other.controls.some(({ type }) => type === 'token_expired'), 30_000)
    await db.sql`select kairan.publish('user-42', '{}')`
    for (const client of clients) {
      await client.atLeast(1)
      expect(client.ended).toBe(false)
      client.close()
    }
    return true
  })
})

test('a new token takes what its user may read now', async () => {
  await using db = await database()
  await db.sql`create schema app`
  await db.sql`create table app.levels (id text, level int)`
  await using service = await serve(db, {
    ROLE_LEVEL_QUERY: 'select level from app.levels where id = $1',
  })
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  // A table of the application's own, and nobody called kairan.reauthorize.
  await db.sql`insert into app.levels values ('42', 100)`
  expect((await send(service.url, streamIdOf(client), await bearer('42'))).status).toBe(200)
  await db.sql`select kairan.publish('admin-dashboard', '{}')`
  expect((await client.atLeast(1))[0]?.channel).toBe('admin-dashboard')
})

test('the stream of a ticket returns until the token ends by which it was extended', async () => {
  await using db = await database()
  await using service = await serve(db)
  await inTime([3, 8, 20], async seconds => {
    const isOver = lasts(seconds)
    const answer = await askTicket(service.url, '42', { seconds })
    if (answer.status === 401) return false
    const hasEnded = lasts(seconds)
    const query = `?ticket=${(await answer.json()).ticket}`
    await using client = await open(service.url, { query })
    if (client.response.status === 401) return false
    await client.control('ready')
    const extended = await send(service.url, streamIdOf(client), await bearer('42', 60))
    if (isOver()) return false
    expect(extended.status).toBe(200)
    await eventually(hasEnded, 30_000)
    client.close()
    await using again = await openReady(service.url, {
      query,
      lastEventId: `${client.lastEventId}`,
    })
    expect(again.response.status).toBe(200)
    return true
  })
})

test('nobody extends a stream of somebody else, nor one that is not open', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42', 60) })
  await eventually(async () => (await db.sql`select from kairan.streams`).length === 1)
  const ask = async (id: string, headers: HeadersInit) => {
    const { status, code } = await answerOf(send(service.url, id, headers))
    return [status, code]
  }
  const id = streamIdOf(client)
  const gone = [404, 'stream_not_found']
  expect(await ask(id, await bearer('43'))).toEqual(gone)
  expect(await ask(crypto.randomUUID(), await bearer('42'))).toEqual(gone)
  expect(await ask('x', await bearer('42'))).toEqual(gone)
  expect(await ask(encodeURIComponent("'; drop table"), await bearer('42'))).toEqual(gone)
  expect(await ask(id, {})).toEqual([401, 'token_missing'])
  expect(await ask(id, { authorization: 'Bearer x' })).toEqual([401, 'token_invalid'])
  expect(
    await ask(id, { cookie: `kairan_token=${await tokenFor('42')}`, origin: 'https://evil.test' }),
  ).toEqual([403, 'origin_forbidden'])
  await using other = await open(service.url, { token: await tokenFor('42', -1) })
  expect(other.response.status).toBe(401)
})
