import { expect, test } from 'bun:test'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

test('draining fails readiness at once, and ends each stream at its own moment with its own retry', async () => {
  await using db = await database()
  await using service = await serve(db, { DRAIN_MS: '2000', RETRY_MS: '10000' })
  const token = await tokenFor('42')
  const clients = await Promise.all(
    Array.from({ length: 40 }, () => openReady(service.url, { token })),
  )
  const ends: number[] = []
  const watching = clients.map(async client => {
    await eventually(() => client.ended)
    ends.push(Date.now())
  })

  const start = Date.now()
  const stopping = service.service.stop()
  const readyz = await fetch(`${service.url}/readyz`)
  expect(readyz.status).toBe(503)
  expect(await readyz.json()).toMatchObject({ reasons: ['draining'] })
  await using late = await open(service.url, { token })
  expect(await late.control('reconnect')).toMatchObject({ reason: 'draining' })
  expect(late.response.status).toBe(200)

  await Promise.all([...watching, stopping])
  const retries = clients.map(({ controls }) => {
    const last = controls.at(-1)
    expect(last).toMatchObject({ type: 'reconnect', reason: 'draining' })
    return Number(last?.afterMs)
  })
  for (const client of clients) client.close()
  expect(new Set(retries).size).toBeGreaterThan(30)
  expect(Math.min(...retries)).toBeGreaterThanOrEqual(5000)
  expect(Math.max(...retries)).toBeLessThanOrEqual(15_000)
  // Spread over the time, and over in time.
  expect(Math.max(...ends) - Math.min(...ends)).toBeGreaterThan(1000)
  expect(Math.max(...ends) - start).toBeLessThan(7000)
  await expect(fetch(service.url)).rejects.toThrow()
})

test('what is queued when a stream is ended comes to the client when it resumes', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const token = await tokenFor('42')
  await using client = await openReady(one.url, { token })
  const publishing = (async () => {
    for (let n = 1; n <= 300; n++)
      await db.sql`select kairan.publish('user-42', ${db.sql.json({ n })})`
  })()
  await client.atLeast(20)
  await one.service.stop()
  await eventually(() => client.ended)
  await using again = await openReady(two.url, { token, lastEventId: client.lastEventId ?? '' })
  await publishing
  await again.atLeast(300 - client.events.length)
  const numbers = [...client.events, ...again.events].map(({ payload }) => payload.n)
  expect(numbers).toEqual(Array.from({ length: 300 }, (_, index) => index + 1))
})

test('while it drains, its port stays open for a moment and no connection is kept', async () => {
  await using db = await database()
  await using service = await serve(db, { DRAIN_MS: '600' })
  const before = await fetch(`${service.url}/livez`)
  expect(before.headers.get('connection')).not.toBe('close')
  const start = performance.now()
  const stopping = service.service.stop()
  // No stream has to be ended, but a proxy has to see that it leaves.
  for (const path of ['/readyz', '/livez', '/notifications', '/nowhere']) {
    const answer = await fetch(`${service.url}${path}`)
    expect({ path, connection: answer.headers.get('connection') }).toEqual({
      ...{ path, connection: 'close' },
    })
  }
  await stopping
  expect(performance.now() - start).toBeGreaterThan(550)
})
