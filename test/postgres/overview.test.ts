import { expect, test } from 'bun:test'
import { createAdminStore } from '../../src/admin/store.ts'
import { createDatabase } from '../../src/postgres/database.ts'
import { migrated } from '../support/schema.ts'

test('the overview counts what has no position yet, and of very many no more than ten thousand', async () => {
  await using db = await migrated()
  const database = createDatabase(db.url, {
    max: 2,
    name: 'test',
    direct: true,
    deadlineMs: 10_000,
  })
  const { overview } = createAdminStore(database)
  const unnumbered = async () => (await overview()).unnumbered
  const publish = (from: number, to: number) => db.sql`
    insert into kairan.notifications (channels, payload)
    select '{user-1,user-2}', '{}' from generate_series(${from}::int, ${to}::int)`
  expect(await unnumbered()).toBe(0)
  await publish(1, 10)
  expect(await unnumbered()).toBe(20)
  await db.sql`select from kairan.number(4)`
  expect(await unnumbered()).toBe(16)
  await publish(11, 6000)
  expect(await unnumbered()).toBe(10_000)
  await db.sql`select from kairan.number(4)`
  await publish(6001, 10_020)
  // To find all of them would take longer than the page waits.
  await db.sql`alter function kairan.unnumbered() rename to asked_in_vain`
  await db.sql.unsafe(`
    create function kairan.unnumbered()
      returns table (notification_id uuid, channel text, created_at timestamptz, place bigint)
      language plpgsql as $$ begin raise exception 'all of them were asked for'; end $$`)
  expect(await unnumbered()).toBe(10_000)
  await database.stop()
})
