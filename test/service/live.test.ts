import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { login } from '../support/logins.ts'
import { serve, tokenFor } from '../support/service.ts'

const refused: [text: string, reason: string][] = [
  ['', 'it is not the JSON of an object'],
  ['{"channel":"user-42","payload":{}', 'it is not the JSON of an object'],
  ['[]', 'it is not the JSON of an object'],
  ['{"payload":{}}', 'unknown channel undefined'],
  ['{"channel":"nobody","payload":{}}', 'unknown channel "nobody"'],
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
  const warnings = service.logs.filter(({ level }) => level === 'warn')
  expect(warnings.map(({ sentence }) => sentence)).toEqual(
    refused.map(([, reason]) => `A live event was refused: ${reason}.`),
  )
})

test('updates the row of the stored delivery that a live event names', async () => {
  await using db = await database()
  await using service = await serve(db)
  const [row] = await db.sql`select kairan.publish('user-42', '{}') as id`
  const notify = (message: object) =>
    db.sql`select pg_notify('kairan', ${JSON.stringify({ ...message, notificationId: row?.id })})`
  const status = async () => {
    const [found] = await db.sql`select status, recipients, error from kairan.deliveries`
    return found
  }

  // Nobody listens, so it stays as it is; then one that can't be sent fails the row.
  await notify({ channel: 'user-42', payload: {} })
  await notify({ channel: 'user-42', payload: 'text' })
  await eventually(async () => (await status())?.status === 'failed')
  expect(await status()).toMatchObject({ error: 'the payload is not an object: "text"' })

  await db.sql`update kairan.deliveries set status = 'pending', error = null`
  await using client = await openReady(service.url, {
    token: await tokenFor('42'),
    query: `?last_event_id=${await headOf(service.url, db)}`,
  })
  await notify({ channel: 'user-42', payload: { live: true } })
  const [event] = await client.atLeast(1)
  expect(event).toMatchObject({ id: row?.id, payload: { live: true } })
  await eventually(async () => (await status())?.status === 'delivered')
  expect(await status()).toMatchObject({ recipients: 1 })
})

/** The cursor at the head of the log: a stream that begins there has nothing pending. */
const headOf = async (_url: string, { sql }: Awaited<ReturnType<typeof database>>) => {
  const [log] = await sql`select epoch || '-' || head as cursor from kairan.log`
  return log?.cursor
}

test('a reason that is cut within a character does not stop the statuses after it', async () => {
  await using db = await database()
  await using service = await serve(db)
  const failed = async () =>
    (await db.sql`select from kairan.deliveries where status = 'failed'`).length
  for (const payload of [`${'x'.repeat(98)}😀`, 'not an object']) {
    const before = await failed()
    const [row] = await db.sql`select kairan.publish('user-42', '{}') as id`
    const text = JSON.stringify({ channel: 'user-42', notificationId: row?.id, payload })
    await db.sql`select pg_notify('kairan', ${text})`
    await eventually(async () => (await failed()) === before + 1)
  }
  expect(service.logs.filter(({ sentence }) => sentence.startsWith('Statuses'))).toEqual([])
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
