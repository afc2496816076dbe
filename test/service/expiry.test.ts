import { expect, test } from 'bun:test'
import { type Client, open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { answerOf } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'
import { ticketFor } from '../support/tickets.ts'

const streamIdOf = (client: Client) => String(client.controls[0]?.streamId)

const send = (url: string, streamId: string, headers: HeadersInit) =>
  fetch(`${url}/notifications/stream/${streamId}/token`, { method: 'POST', headers })

const bearer = async (user: string, seconds?: number) => ({
  authorization: `Bearer ${await tokenFor(user, seconds)}`,
})

test('says ahead that the token expires, then ends with it', async () => {
  await using db = await database()
  await using service = await serve(db)
  // The notice comes after half of it: on a machine that is busy, this test may hear of it late.
  await using client = await openReady(service.url, { token: await tokenFor('42', 8) })
  const { expiresAt } = await client.control('token_expiring')
  const left = Date.parse(String(expiresAt)) - Date.now()
  expect(left).toBeGreaterThan(0)
  await client.control('token_expired')
  await eventually(() => client.ended)
  expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(String(expiresAt)))
  expect(client.controls.map(({ type }) => type)).toEqual([
    'ready',
    'token_expiring',
    'token_expired',
  ])
})

test('a new token lets a stream go on, sent to any instance, as a header or as a cookie', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const clients = await Promise.all(
    [1, 2, 3].map(async () => openReady(one.url, { token: await tokenFor('42', 3) })),
  )
  const [here, elsewhere, cookie] = clients.map(streamIdOf)
  // An instance writes down its streams a moment after they are open.
  await eventually(async () => (await db.sql`select from kairan.streams`).length === 3)

  const answers = await Promise.all([
    send(one.url, `${here}`, await bearer('42', 60)),
    send(two.url, `${elsewhere}`, await bearer('42', 60)),
    send(two.url, `${cookie}`, { cookie: `kairan_token=${await tokenFor('42', 60)}` }),
  ])
  for (const answer of answers) {
    expect(answer.status).toBe(200)
    const { expiresAt } = await answer.json()
    expect(Date.parse(expiresAt) - Date.now()).toBeGreaterThan(50_000)
  }
  // A stream of the first token that nobody has extended shows that its time is over.
  await using other = await openReady(one.url, { token: await tokenFor('42', 3) })
  await other.control('token_expired')
  await db.sql`select kairan.publish('user-42', '{}')`
  for (const client of clients) {
    await client.atLeast(1)
    expect(client.ended).toBe(false)
    client.close()
  }
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
  const ticket = await ticketFor(service.url, '42', { seconds: 3 })
  const query = `?ticket=${ticket}`
  await using client = await openReady(service.url, { query })
  expect((await send(service.url, streamIdOf(client), await bearer('42', 60))).status).toBe(200)
  await using other = await openReady(service.url, { token: await tokenFor('42', 3) })
  await other.control('token_expired')
  client.close()
  await using again = await openReady(service.url, { query, lastEventId: `${client.lastEventId}` })
  expect(again.response.status).toBe(200)
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
