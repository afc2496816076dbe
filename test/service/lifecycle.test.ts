import { expect, test } from 'bun:test'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { inTime } from '../support/in-time.ts'
import { serve, tokenFor } from '../support/service.ts'

test('gives back every stream of 1,000 clients that come and vanish', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')

  for (let round = 0; round < 20; round++) {
    const clients = await Promise.all(
      // Some leave before anything came, some in the middle of the opening, some when it is ready.
      Array.from({ length: 50 }, (_, index) =>
        index % 3 === 0 ? open(service.url, { token }) : openReady(service.url, { token }),
      ),
    )
    for (const client of clients) client.close()
  }
  // The generator's `finally` gives the subscription back, so none of either is left.
  await eventually(() => service.service.streams === 0)
})

test('sends heartbeats, as comments, while nothing happens', async () => {
  await using db = await database()
  await using service = await serve(db, { HEARTBEAT_MS: '100' })
  await using client = await openReady(service.url, { token: await tokenFor('42') })

  await eventually(() => client.text.split('\n\n:\n\n').length > 1 && client.text.endsWith(':\n\n'))
  expect(client.received.map(({ event }) => event)).toEqual(['ping', 'control'])
})

test('a stream that was quiet while the whole process stood still is not taken for stalled', async () => {
  await using db = await database()
  await using service = await serve(db, { HEARTBEAT_MS: '100' })
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const heartbeats = () => client.text.split('\n:\n').length
  for (let pause = 0; pause < 3; pause++) {
    const before = heartbeats()
    // Longer than a stream may take nothing.
    Bun.sleepSync(600)
    await eventually(() => heartbeats() > before || client.ended)
    expect(client.ended).toBe(false)
  }
})

test('ends a stream when its token ends, and says so', async () => {
  await using db = await database()
  await using service = await serve(db)
  await inTime([2, 5, 10], async seconds => {
    await using client = await open(service.url, { token: await tokenFor('42', seconds) })
    if (client.response.status === 401) return false

    await client.control('token_expired')
    await eventually(() => client.ended)
    return true
  })
})

test('ends a stream of MAX_STREAM_AGE_MS with the advice to return', async () => {
  await using db = await database()
  await using service = await serve(db, { MAX_STREAM_AGE_MS: '1000', RETRY_MS: '50' })
  await using client = await openReady(service.url, { token: await tokenFor('42') })

  const { reason, afterMs } = await client.control('reconnect')
  expect(reason).toBe('age')
  expect(client.text).toContain(`retry: ${afterMs}\n\nevent: control\n`)
  await eventually(() => client.ended)
})

test('a stream that returns with its cursor gets what it missed, once', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  const publish = (number: number) =>
    db.sql`select kairan.publish('user-42', ${db.sql.json({ number })})`

  let lastEventId: string | undefined
  {
    await using client = await openReady(service.url, { token })
    await publish(1)
    await client.atLeast(1)
    lastEventId = client.lastEventId
  }
  await publish(2)
  await publish(3)
  expect(lastEventId).toBeString()
  await using client = await openReady(service.url, { token, lastEventId: lastEventId ?? '' })
  await publish(4)
  const events = await client.atLeast(3)
  expect(events.map(({ payload }) => payload.number)).toEqual([2, 3, 4])
  // Up to its head, what comes was there before.
  const ready = {
    type: 'ready',
    resumed: true,
    cursor: lastEventId,
    head: expect.any(String),
    streamId: expect.any(String),
  }
  expect<unknown>(client.controls).toEqual([ready])
})
