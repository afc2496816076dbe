import { expect, test } from 'bun:test'
import { migrated } from '../support/schema.ts'

test('thousands are redelivered in one transaction without a look at all of them for each', async () => {
  await using db = await migrated()
  const rows = 3000
  await db.sql`
    insert into kairan.notifications (channels, payload)
    select '{user-1,user-2}', '{}' from generate_series(1, ${rows}::int)`
  await db.sql`select from kairan.number(10000)`
  const again = await db.sql.begin(async tx => {
    await tx`set local statement_timeout = '5s'`
    const [row] = await tx<{ n: number }[]>`
      select sum(kairan.redeliver(id))::int as n from kairan.notifications`
    return row?.n
  })
  expect(again).toBe(2 * rows)
})

test('what waits for its position counts as redelivered, too', async () => {
  await using db = await migrated()
  const redeliver = async (channel: string | null) => {
    const [row] = await db.sql<{ n: number }[]>`
      select kairan.redeliver(id, ${channel}) as n from kairan.notifications`
    return row?.n
  }
  await db.sql`select kairan.publish('{user-1,user-2,user-3}'::text[], '{}')`
  expect([await redeliver(null), await redeliver('user-1'), await redeliver('user-4')]).toEqual([
    3, 1, 0,
  ])
  await db.sql`select from kairan.number()`
  expect([await redeliver('user-1'), await redeliver('user-1'), await redeliver(null)]).toEqual([
    1, 1, 3,
  ])
  expect([await redeliver(null), await redeliver('user-2')]).toEqual([3, 1])
})

test('what was redelivered together is numbered in pieces of the usual size, also when nothing else is new', async () => {
  await using db = await migrated()
  const { sql } = db
  const pieces = async (most: number) => {
    for (let n = 0; ; n++) {
      const left = await sql`
        select from kairan.notifications n
        where not exists (select from kairan.numbered d where d.notification_id = n.id) limit 1`
      if (left.length === 0) return n
      await sql`select from kairan.number(${most}::int)`
    }
  }
  const publish = (channels: number) => sql`
    insert into kairan.notifications (channels, payload)
    select array(select 'org-' || c from generate_series(1, ${channels}::int) c), '{}' from generate_series(1, 4000)`
  await publish(1)
  await sql`select from kairan.number(4000)`
  await sql`select kairan.redeliver(id) from kairan.notifications`
  // All but the first piece had sixteen.
  expect(await pieces(500)).toBeWithin(8, 12)

  // On several channels each, too.
  await sql`delete from kairan.notifications`
  await publish(10)
  await sql`select from kairan.number(50000)`
  await sql`select kairan.redeliver(id) from kairan.notifications`
  expect(await pieces(5000)).toBeWithin(8, 12)
})
