import { expect, test } from 'bun:test'
import type postgres from 'postgres'
import type { TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { migrated } from '../support/schema.ts'

const send = async (db: TestDatabase, channels = ['user-42'], expiresAt: string | null = null) => {
  const [row] = await db.sql`
    select kairan.publish(${channels}::text[], '{}', expires_at => ${expiresAt}::text::timestamptz) as id`
  return String(row?.id)
}

const number = (sql: postgres.Sql) => sql`select from kairan.number()`

const unread = async ({ sql }: TestDatabase) => {
  const [page] = await sql`
    select unread, cardinality(seqs) as found
    from kairan.inbox_page('42', '{user-42,all-users,org-7}', null, ${1e15}, false, false, 50)`
  return [page?.unread, page?.found]
}

/** What deliveries say that their notifications do not. */
const differing = ({ sql }: TestDatabase) => sql`
  select d.channel, d.expires_at, d.several
  from kairan.numbered d join kairan.notifications n on n.id = d.notification_id
  where (d.expires_at, d.several) is distinct from (n.expires_at, nullif(cardinality(n.channels) > 1, false))`

/** As retention does, until the log has seen all that was committed: other databases of the cluster may be at it. */
const settle = (db: TestDatabase) =>
  eventually(async () => {
    await send(db, ['user-99'])
    await number(db.sql)
    await db.sql`select kairan.prune_batches()`
    const left = await db.sql`
      select notification_id from kairan.unsettled union all select notification_id from kairan.redeliveries`
    return left.length === 0
  })

test('each delivery knows when its notification expires, and whether it is the only one', async () => {
  await using db = await migrated()
  await send(db)
  await send(db, ['user-42', 'all-users'], '2099-01-01Z')
  const later = await send(db, ['user-42'], 'infinity')
  await number(db.sql)
  const rows = await db.sql`
    select expires_at::text, several from kairan.numbered order by seq`
  expect(rows.map(row => [row.expires_at?.slice(0, 4) ?? null, row.several])).toEqual([
    [null, null],
    ['2099', true],
    ['2099', true],
    ['infi', null],
  ])
  await db.sql`update kairan.notifications set expires_at = '2098-01-01Z'`
  expect(await differing(db)).toHaveLength(0)
  await db.sql`select kairan.withdraw(${later}::uuid)`
  expect(await differing(db)).toHaveLength(0)
  expect(await db.sql`select from kairan.unsettled`).toHaveLength(0)
})

/** Does something while the log is being numbered, in a transaction that has not seen it. */
const whileNumbering = async (db: TestDatabase, act: () => Promise<unknown>) => {
  const slow = await db.sql.reserve()
  await slow`begin`
  await number(slow)
  await act()
  await slow`commit`
  slow.release()
}

test('what is withdrawn while it is being numbered is in no inbox from its commit on', async () => {
  await using db = await migrated()
  const id = await send(db)
  await whileNumbering(db, () => db.sql`select kairan.withdraw(${id}::uuid)`)
  expect(await unread(db)).toEqual([0, 0])
  expect(await differing(db)).toHaveLength(1)
  // A later number that has not seen it yet would be as wrong.
  await db.sql`select kairan.prune_batches()`
  expect(await unread(db)).toEqual([0, 0])
  await settle(db)
  expect(await unread(db)).toEqual([0, 0])
  expect(await differing(db)).toHaveLength(0)
  expect(await db.sql`select from kairan.unsettled`).toHaveLength(0)
})

test('what expires no more while it is being numbered is in the inbox from its commit on', async () => {
  await using db = await migrated()
  const id = await send(db, ['user-42'], '2000-01-01Z')
  await whileNumbering(
    db,
    () => db.sql`update kairan.notifications set expires_at = null where id = ${id}::uuid`,
  )
  expect(await unread(db)).toEqual([1, 1])
  await settle(db)
  expect(await unread(db)).toEqual([1, 1])
  expect(await differing(db)).toHaveLength(0)
})

test('one of several that is delivered again is shown once, before and after it is settled', async () => {
  await using db = await migrated()
  const id = await send(db, ['all-users', 'org-7', 'user-42'])
  await number(db.sql)
  for (const channel of ['user-42', 'org-7']) {
    await db.sql`select kairan.redeliver(${id}::uuid, ${channel})`
    await number(db.sql)
    expect(await unread(db)).toEqual([1, 1])
    await settle(db)
    expect(await unread(db)).toEqual([1, 1])
    expect(await differing(db)).toHaveLength(0)
    expect(await db.sql`select from kairan.redeliveries`).toHaveLength(0)
  }
})

test('what another cluster has left unsettled is settled, whatever ids its transactions had', async () => {
  await using db = await migrated()
  const id = await send(db)
  await number(db.sql)
  await db.sql`update kairan.numbered set expires_at = '2000-01-01Z'`
  await db.sql`insert into kairan.unsettled values (${id}::uuid, '1000000000')`
  expect(await unread(db)).toEqual([1, 1])
  await settle(db)
  expect(await unread(db)).toEqual([1, 1])
  expect(await db.sql`select from kairan.unsettled`).toHaveLength(0)
})

test('what somebody else has locked is settled later, and holds up nobody', async () => {
  await using db = await migrated()
  const id = await send(db, ['user-42', 'all-users'])
  await number(db.sql)
  const holder = await db.sql.reserve()
  await holder`begin`
  await holder`select from kairan.numbered where channel = 'user-42' for update`
  await db.sql`update kairan.notifications set expires_at = '2000-01-01Z' where id = ${id}::uuid`
  expect(await unread(db)).toEqual([0, 0])
  await db.sql`select kairan.prune_batches()`
  expect(await differing(db)).toMatchObject([{ channel: 'user-42' }])
  expect(await unread(db)).toEqual([0, 0])
  await holder`commit`
  holder.release()
  await settle(db)
  expect(await differing(db)).toHaveLength(0)
})

test('a change that is committed while deliveries are settled is not overwritten', async () => {
  await using db = await migrated()
  const id = await send(db)
  await number(db.sql)
  await db.sql`insert into kairan.unsettled values (${id}::uuid)`
  await db.sql`update kairan.numbered set expires_at = '2000-01-01Z'`
  const open = await db.sql.reserve()
  await open`begin`
  await open`select kairan.withdraw(${id}::uuid)`
  await send(db)
  await number(db.sql)
  await db.sql`select kairan.prune_batches()`
  await open`commit`
  open.release()
  await settle(db)
  expect(await differing(db)).toHaveLength(0)
})
