import { expect, test } from 'bun:test'
import type { AdminStore, DeliveryFilter } from '../../src/admin/admin.ts'
import { createAdminStore } from '../../src/admin/store.ts'
import { createDatabase } from '../../src/postgres/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { migrated } from '../support/schema.ts'

const failed: DeliveryFilter = {
  channel: 'org-1',
  type: null,
  status: 'failed',
  since: null,
  until: null,
  payload: null,
  before: null,
  limit: 1000,
}

const databaseOf = (db: TestDatabase) =>
  createDatabase(db.url, { max: 2, name: 'test', direct: true, deadlineMs: 10_000 })

/** So many deliveries, of which every third has failed. */
const fill = async ({ sql }: TestDatabase, count: number) => {
  await sql`
    insert into kairan.notifications (channels, payload)
    select '{org-1}', '{}' from generate_series(1, ${count}::int)`
  await sql`select from kairan.number(20000)`
  await sql`update kairan.numbered set status = 'f' where seq % 3 = 0`
}

const redeliverAll = async (store: AdminStore, filter: DeliveryFilter) => {
  let changed = 0
  for (let before: string | null = filter.before ?? '1000000'; before !== null; ) {
    const step = await store.redeliverSome({ ...filter, before }, 'boss')
    changed += step.changed
    before = step.next
  }
  return changed
}

test('what matches a filter is redelivered step by step, and none of it is passed over', async () => {
  await using db = await migrated()
  const database = databaseOf(db)
  await fill(db, 12_000)
  // A step ends where it has looked at 5,000 deliveries, or where 1,000 matched.
  expect(await redeliverAll(createAdminStore(database), { ...failed, limit: 2000 })).toBe(4000)
  expect(await db.sql`select from kairan.numbered where status = 'f'`).toHaveLength(0)
  await database.stop()
})

test('a step goes on where it ended, although retention has removed one of what it chose', async () => {
  await using db = await migrated()
  const database = databaseOf(db)
  await fill(db, 300)
  const holder = await db.sql.reserve()
  await holder`begin`
  await holder`delete from kairan.numbered where seq = 300`
  const store = createAdminStore(database)
  const step = store.redeliverSome({ ...failed, limit: 10 }, 'boss')
  await eventually(async () => {
    const waiting = await db.sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    return waiting.length > 0
  })
  await holder`commit`
  holder.release()
  expect(await step).toEqual({ changed: 9, next: '273' })
  await database.stop()
})

test('a step sends again in the order in which it was sent', async () => {
  await using db = await migrated()
  const database = databaseOf(db)
  await fill(db, 30)
  const before =
    await db.sql`select notification_id from kairan.numbered where status = 'f' order by seq`
  await createAdminStore(database).redeliverSome(failed, 'boss')
  await db.sql`select from kairan.number()`
  const after =
    await db.sql`select notification_id from kairan.numbered where seq > 30 order by seq`
  expect([...after]).toEqual([...before])
  await database.stop()
})
