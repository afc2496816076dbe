import { expect, test } from 'bun:test'
import { createDatabase } from '../../src/postgres/database.ts'
import { createStatusStore } from '../../src/stream/statuses-store.ts'
import { database } from '../support/database.ts'

test('a status locks no row that nobody else has touched, and is a version without index entries', async () => {
  await using db = await database()
  await db.sql`create extension pg_walinspect`
  // The WAL is that of all tests: nothing of it is removed while this slot is there.
  const keeper = await db.sql.reserve()
  const slot = `kairan_${process.pid}`
  await keeper`select pg_create_physical_replication_slot(${slot}::text, true, true)`
  await db.sql`
    insert into kairan.numbered (seq, notification_id, channel, type, created_at)
    select n, gen_random_uuid(), 'user-' || n % 7, 'order.shipped', now() from generate_series(1, 100) n`
  // Somebody locked this one once, so it is not taken for one that is free.
  await db.sql`select from kairan.numbered where seq = 50 for update`
  const client = createDatabase(db.url, { max: 1, name: 'test', direct: true, deadlineMs: 10_000 })
  const store = createStatusStore(client)
  for (let seq = 1; seq <= 100; seq++) store.delivered.add({ seq, recipients: 1 })
  const position = async () =>
    String((await db.sql`select pg_current_wal_insert_lsn()::text as lsn`)[0]?.lsn)

  const from = await position()
  expect(await store.delivered.write()).toBe(0)
  const to = await position()
  await client.stop()
  // What is read has to be on disk.
  await db.sql`checkpoint`

  const records = await db.sql<{ kind: string; count: number }[]>`
    select record_type as kind, count(*)::int as count
    from pg_get_wal_records_info(${from}::text::pg_lsn, ${to}::text::pg_lsn)
    where xid = (
      select xmin::text::xid from kairan.numbered where seq = 1
    ) or xid = (select xmin::text::xid from kairan.numbered where seq = 50)
    group by 1`
  keeper.release()
  const countOf = (kind: string) => records.find(record => record.kind === kind)?.count ?? 0
  expect(countOf('HOT_UPDATE')).toBe(100)
  expect(countOf('LOCK')).toBe(1)
  expect(records.filter(({ kind }) => kind.startsWith('INSERT'))).toEqual([])
  expect(await db.sql`select distinct status, recipients from kairan.numbered`).toMatchObject([
    { status: 'd', recipients: 1 },
  ])
})

test('a status that can not be written makes no other count twice', async () => {
  await using db = await database()
  await db.sql`
    insert into kairan.numbered (seq, notification_id, channel, created_at)
    select n, gen_random_uuid(), 'user-1', now() from generate_series(1, 3) n`
  // So this one is written by a statement of its own, after the others.
  await db.sql`select from kairan.numbered where seq = 2 for update`
  await db.sql.unsafe(`
    create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
    create trigger refuse before update on kairan.numbered for each row when (old.seq = 2) execute function refuse()`)
  const client = createDatabase(db.url, { max: 1, name: 'test', direct: true, deadlineMs: 10_000 })
  const { delivered } = createStatusStore(client)
  for (const seq of [1, 2, 3]) delivered.add({ seq, recipients: 1 })
  expect(await delivered.write()).toBe(1)
  await expect(delivered.write()).rejects.toThrow('not now')
  await db.sql`drop trigger refuse on kairan.numbered`
  expect(await delivered.write()).toBe(0)
  await client.stop()
  const rows = await db.sql`select status, recipients from kairan.numbered order by seq`
  expect(rows.map(row => [row.status, row.recipients])).toEqual([1, 2, 3].map(() => ['d', 1]))
})

test('a delivery that counts as many recipients as the column holds keeps no status from being written', async () => {
  await using db = await database()
  await db.sql`
    insert into kairan.numbered (seq, notification_id, channel, created_at, recipients)
    select n, gen_random_uuid(), 'user-1', now(), case when n > 1 then 2147483647 else 0 end
    from generate_series(1, 3) n`
  // So this one is written in another way.
  await db.sql`select from kairan.numbered where seq = 3 for update`
  const [live] = await db.sql`
    insert into kairan.numbered (seq, notification_id, channel, created_at, recipients)
    values (4, gen_random_uuid(), 'user-1', now(), 2147483647) returning notification_id`
  const client = createDatabase(db.url, { max: 1, name: 'test', direct: true, deadlineMs: 10_000 })
  const store = createStatusStore(client)
  for (const seq of [1, 2, 3]) store.delivered.add({ seq, recipients: 7 })
  const notificationId = String(live?.notification_id)
  store.deliveredLive.add({ notificationId, channel: 'user-1', recipients: 7 })
  expect(await store.delivered.write()).toBe(0)
  expect(await store.deliveredLive.write()).toBe(0)
  await client.stop()
  const rows = await db.sql`select status, recipients from kairan.numbered order by seq`
  expect(rows.map(row => [row.status, row.recipients])).toEqual([
    ['d', 7],
    ['d', 2147483647],
    ['d', 2147483647],
    ['l', 2147483647],
  ])
})
