import { expect, test } from 'bun:test'
import { parseLive } from '../../src/publish/live-event.ts'
import { openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { login } from '../support/logins.ts'
import { serve, type TestService, tokenFor } from '../support/service.ts'

const refused: [text: string, reason: string][] = [
  ['', 'it is not the JSON of an object'],
  ['{"channel":"user-42","payload":{}', 'it is not the JSON of an object'],
  ['[]', 'it is not the JSON of an object'],
  ['{"payload":{}}', 'unknown channel undefined'],
  ['{"channel":"no body","payload":{}}', 'unknown channel "no body"'],
  ['{"channel":7,"payload":{}}', 'unknown channel 7'],
  ['{"channel":"user-42"}', 'the payload is not an object: undefined'],
  ['{"channel":"user-42","payload":"text"}', 'the payload is not an object: "text"'],
  ['{"channel":"user-42","payload":[1]}', 'the payload is not an object: [1]'],
  ['{"channel":"user-42","payload":{"metadata":1}}', 'payload.metadata is not an object: 1'],
  ['{"channel":"user-42","payload":{},"type":1}', 'the type is not a string: 1'],
  ['{"channel":"user-42","payload":{},"notificationId":"x"}', 'notificationId is no UUID: "x"'],
]

test('warns of a live event that it can not send, with the reason, and goes on', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })

  for (const [text] of refused) await db.sql`select pg_notify('kairan', ${text})`
  await db.sql`select pg_notify('kairan', '{"channel":"user-42","payload":{"n":1},"type":"t"}')`
  const [event] = await client.atLeast(1)
  expect(event).toMatchObject({
    channel: 'user-42',
    payload: { n: 1, metadata: { deliveryChannel: 'user-42' } },
    id: null,
    type: 't',
    cursor: undefined,
  })
  expect(client.events).toHaveLength(1)
  for (const [text, reason] of refused) expect(parseLive(text, new Date())).toEqual({ reason })
  // Anybody can send them: they must not fill the log.
  expect(warningsOf(service)).toEqual([`A live event was refused: ${refused[0]?.[1]}.`])
})

/** What the log says of live events. */
const warningsOf = ({ logs }: TestService) =>
  logs.map(({ sentence }) => sentence).filter(sentence => sentence.includes('live event'))

test('updates the row of the stored delivery that a live event names', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using witness = await openReady(service.url, { token: await tokenFor('7') })
  const [row] = await db.sql`select kairan.publish('user-42', '{}') as id`
  await eventually(async () => (await db.sql`select from kairan.numbered`).length === 1)
  const notify = (message: object) =>
    db.sql`select pg_notify('kairan', ${JSON.stringify({ ...message, notificationId: row?.id })})`
  const status = async () => {
    const [found] = await db.sql`select status, recipients, error from kairan.deliveries`
    return found
  }

  // Nobody listens, so it stays as it is; so it does when what is sent is none.
  await notify({ channel: 'user-42', payload: {} })
  await notify({ channel: 'user-42', payload: 'text' })
  // A NOTIFY comes on another way than a stream: this one says that those before it have come.
  await db.sql`select pg_notify('kairan', '{"channel": "user-7", "payload": {}}')`
  await witness.atLeast(1)
  await using client = await openReady(service.url, {
    token: await tokenFor('42'),
    query: `?last_event_id=${await headOf(db)}`,
  })
  await notify({ channel: 'user-42', payload: { live: true } })
  const [event] = await client.atLeast(1)
  expect(event).toMatchObject({ id: row?.id, payload: { live: true } })
  await eventually(async () => (await status())?.status === 'delivered')
  expect(await status()).toMatchObject({ recipients: 1, error: null })

  // Anybody may have sent that: who connects without a cursor still gets what was stored.
  await using other = await openReady(service.url, { token: await tokenFor('42') })
  const [stored] = await other.atLeast(1)
  expect(stored).toMatchObject({ id: row?.id, payload: { metadata: {} } })
  expect(stored?.payload.live).toBeUndefined()
})

/** The cursor at the head of the log: a stream that begins there has nothing pending. */
const headOf = async ({ sql }: TestDatabase) => {
  const [log] = await sql`select epoch || '-' || head as cursor from kairan.log`
  return log?.cursor
}

test('live events that are refused leave stored deliveries as they are, and write one line', async () => {
  await using db = await database()
  await using service = await serve(db)
  const [row] = await db.sql`select kairan.publish('user-42', '{}') as id`
  for (const payload of [`${'x'.repeat(98)}😀`, 'not an object', 7]) {
    const text = JSON.stringify({ channel: 'user-42', notificationId: row?.id, payload })
    await db.sql`select pg_notify('kairan', ${text}) from generate_series(1, 500)`
    await db.sql`select pg_notify('kairan', ${text.replace('42', '43')})`
  }
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const [event] = await client.atLeast(1)
  expect(event?.id).toBe(row?.id)
  // All those before it have come.
  await db.sql`select pg_notify('kairan', '{"channel": "user-42", "payload": {"last": true}}')`
  await eventually(() => client.events.some(({ payload }) => payload.last))
  expect(client.events).toHaveLength(2)
  await eventually(
    async () => (await db.sql`select from kairan.deliveries where status = 'delivered'`).length,
  )
  expect(warningsOf(service)).toHaveLength(1)
})

test('hears nothing on the live path when it is switched off', async () => {
  await using db = await database()
  await using service = await serve(db, { LIVE_PATH: 'off' })
  await using stream = await openReady(service.url, { token: await tokenFor('42') })
  await db.sql`select pg_notify('kairan', '{"channel": "user-42", "payload": {"live": true}}')`
  await db.sql`select kairan.publish('user-42', '{"stored": true}')`
  await eventually(() => stream.events.some(({ payload }) => payload.stored === true))
  expect(stream.events).toHaveLength(1)
})

test('a NOTIFY that somebody forges does no more than wake it', async () => {
  await using db = await database()
  await using service = await serve(db, { LIVE_PATH: 'off' })
  await using forger = await login(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  for (const channel of ['kairan_log', 'kairan_users', 'kairan_probe', 'kairan']) {
    for (const text of ['', '999999999', 'NaN', '{}', '{"action":"reauthorize","userId":"42"}']) {
      await forger.sql`select pg_notify(${channel}, ${text})`
    }
  }
  await db.sql`select kairan.publish('admin-dashboard', '{}')`
  await db.sql`select kairan.publish('user-42', '{}')`
  expect((await client.atLeast(1)).map(({ channel }) => channel)).toEqual(['user-42'])

  await forger.sql`select pg_notify('kairan_users', '{"action":"disconnect","userId":"42"}')`
  await db.sql`select kairan.publish('user-42', '{}')`
  await client.atLeast(2)
  expect(client.ended).toBe(false)
})
