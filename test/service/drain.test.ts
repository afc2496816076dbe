import { expect, test } from 'bun:test'
import { open, openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { inTime } from '../support/in-time.ts'
import { serve, tokenFor } from '../support/service.ts'

test('draining fails readiness at once, and ends each stream at its own moment with its own retry', async () => {
  await using db = await database()
  // A pause of this process ends all streams of that time at once.
  await inTime([2000, 3000, 4000], ms => drainsOver(db, ms))
})

const drainsOver = async (db: TestDatabase, ms: number) => {
  await using service = await serve(db, { DRAIN_MS: `${ms}`, RETRY_MS: '10000' })
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
  const answers = await Promise.all([
    fetch(`${service.url}/readyz`),
    open(service.url, { token }),
  ]).catch(() => null)
  if (!answers) return false
  const [readyz] = answers
  await using late = answers[1]
  expect(readyz.status).toBe(503)
  expect(await readyz.json()).toMatchObject({ reasons: ['draining'] })
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
  await expect(fetch(service.url)).rejects.toThrow()
  // Spread over the time, and over in time.
  const isSpread = Math.max(...ends) - Math.min(...ends) > ms / 2
  return isSpread && Math.max(...ends) - start < ms + 5000
}

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
  await inTime([600, 1500, 2500], async ms => {
    await using service = await serve(db, { DRAIN_MS: `${ms}` })
    const before = await fetch(`${service.url}/livez`)
    expect(before.headers.get('connection')).not.toBe('close')
    const start = performance.now()
    const stopping = service.service.stop()
    // No stream has to be ended, but a proxy has to see that it leaves.
    for (const path of ['/readyz', '/livez', '/notifications', '/nowhere']) {
      const answer = await fetch(`${service.url}${path}`).catch(() => null)
      // The moment may be over, unless this process was fast.
      if (!answer) return false
      expect({ path, connection: answer.headers.get('connection') }).toEqual({
        ...{ path, connection: 'close' },
      })
    }
    await stopping
    expect(performance.now() - start).toBeGreaterThan(ms - 50)
    return true
  })
})
