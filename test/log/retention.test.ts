import { expect, test } from 'bun:test'
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
