import { expect, test } from 'bun:test'
import { createPace, createRetention } from '../../src/log/retention.ts'
import { createDatabase } from '../../src/postgres/database.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'

test('what was locked when it expired fails later', async () => {
  await using db = await database()
  await using _service = await serve(db, { RETENTION: '10s' })
  const [held] = await db.sql`
    select kairan.publish('user-1', '{}', expires_at => now() + interval '1 hour') as id,
      kairan.publish('user-2', '{}', expires_at => now() + interval '1 hour')`
  const id = String(held?.id)
  await eventually(async () => (await db.sql`select from kairan.numbered`).length === 2)
  const locked = Promise.withResolvers<void>()
  const later = Promise.withResolvers<void>()
  const holder = db.sql.begin(async tx => {
    await tx`select from kairan.numbered where notification_id = ${id}::uuid for update`
    locked.resolve()
    await later.promise
  })
  await locked.promise
  // Both expire in one moment, so who finds the one finds the other.
  await db.sql`
    update kairan.notifications
    set expires_at = now() + case id when ${id}::uuid then interval '0' else interval '1 ms' end`
  const statuses = async () => {
    const rows = await db.sql<{ channel: string; status: string; error: string | null }[]>`
      select channel, status, error from kairan.deliveries order by channel`
    return rows.map(({ channel, status, error }) => [channel, status, error])
  }
  await eventually(async () => (await statuses())[1]?.[1] === 'failed')
  expect(await statuses()).toEqual([
    ['user-1', 'pending', null],
    ['user-2', 'failed', 'expired'],
  ])
  later.resolve()
  await holder
  await eventually(async () => (await statuses())[0]?.[1] === 'failed')
  expect((await statuses())[0]).toEqual(['user-1', 'failed', 'expired'])
})

test('an instance that is not to remove what is old any more stops in the midst of it', async () => {
  await using db = await database()
  const rows = 30_000
  await db.sql`
    insert into kairan.numbered (seq, notification_id, channel, created_at)
    select n, gen_random_uuid(), 'user-1', now() - interval '8 days' from generate_series(1, ${rows}::int) n`
  const client = createDatabase(db.url, { max: 1, name: 'test', direct: true, deadlineMs: 10_000 })
  const left = async () => (await db.sql`select from kairan.numbered`).length
  let askedInVain = 0
  let neededFor = 20
  const retention = createRetention({
    database: client,
    keepMs: 7 * 86_400_000,
    everyMs: 1,
    isNeeded() {
      if (neededFor-- > 0) return true
      askedInVain++
      return false
    },
    report: { error: console.error, warn: console.error, info: () => undefined },
  })
  retention.start()
  // By then that run has ended, and others have begun in vain.
  await eventually(() => askedInVain > 20)
  const remaining = await left()
  expect(remaining).toBeLessThan(rows)
  expect(remaining).toBeGreaterThan(0)
  neededFor = Number.POSITIVE_INFINITY
  await eventually(async () => (await left()) === 0)
  await retention.stop()
  await client.stop()
})

test('retention rests only while it removes at least as much as is published', () => {
  const pace = createPace()
  expect(pace.step(2500, 10_000)).toBe(false)
  expect(pace.step(2500, 15_000)).toBe(false)
  expect(pace.step(2500, 18_000)).toBe(true)
  expect(pace.step(2500, 20_001)).toBe(true)
  expect(pace.step(2500, 20_100)).toBe(false)
})
