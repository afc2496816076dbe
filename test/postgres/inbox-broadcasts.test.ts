import { expect, test } from 'bun:test'
import { migrated } from '../support/schema.ts'

const notifications = 100
const names = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, n) => `organisation-${from + n}`)

/** Each notification is on a thousand channels. */
const filled = async () => {
  const db = await migrated()
  await db.sql`
    insert into kairan.notifications (channels, payload)
    select ${names(1, 1000)}::text[], '{}' from generate_series(1, ${notifications}::int)`
  await db.sql`select kairan.number(${notifications * 1000}::int)`
  await db.sql`vacuum analyze kairan.numbered`
  return db
}

test('shows once what is on a thousand channels, without a look at all of them for each delivery', async () => {
  await using db = await filled()
  const session = await db.sql.reserve()
  // To compare each delivery with those before it and each of them with all channels took two minutes.
  await session`set statement_timeout = '5s'`
  const page = async (channels: string[]) => {
    const [row] = await session`
      select unread, is_least, seqs::int[]
      from kairan.inbox_page('1', ${channels}::text[], null, 1000000, false, false, 3)`
    return row
  }
  const newest = (place: number) => [1, 2, 3].map(n => (notifications - n) * 1000 + place)
  expect(await page(['organisation-1000'])).toEqual({
    unread: 100,
    is_least: false,
    seqs: newest(1000),
  })
  expect(await page([...names(1000, 1000), ...names(2000, 2998)])).toMatchObject({
    unread: 100,
    seqs: newest(1000),
  })
  // It stops when it has looked at 5000 deliveries.
  const half = await page(names(500, 1499))
  expect(half).toMatchObject({ is_least: true, seqs: newest(500) })
  expect(half?.unread).toBeGreaterThan(8)
  session.release()
})
