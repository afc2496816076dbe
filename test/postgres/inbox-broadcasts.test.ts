import { expect, test } from 'bun:test'
import { migrated } from '../support/schema.ts'

const notifications = 100
/** All of one length, so that Postgres has to compare their bytes. */
const names = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, n) => `organisation-${from + n + 10_000}`)

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
  expect(await page(names(1000, 1000))).toEqual({
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

test('marks what is on a thousand channels without a look before each delivery', async () => {
  await using db = await filled()
  const { sql } = db
  const ids = (await sql`select id from kairan.notifications`).map(({ id }) => String(id))
  const mark = `
    select from kairan.mark_inbox('1', '{${names(500, 899).join()}}', '${JSON.stringify({ ids })}')`
  const [row] = await sql.unsafe(`explain (analyze, buffers, timing off, format json) ${mark}`)
  // Two looks before each of 40,000 read 300,000 blocks.
  expect(row?.['QUERY PLAN'][0].Plan['Shared Hit Blocks']).toBeLessThan(150_000)
  const [inbox] = await sql<{ read: string }[]>`select read::text from kairan.inboxes`
  expect(inbox?.read).toStartWith('{[0,1),[500,900),[1500,1900),')
})

test('confirms what is on a thousand channels without comparing each of them with all', async () => {
  await using db = await filled()
  const session = await db.sql.reserve()
  // With 1,000 channels it took half as long as a statement may.
  await session`set statement_timeout = '3s'`
  const channels = [...names(1000, 1000), ...names(2000, 9998)]
  const ids = (await session`select id from kairan.notifications`).map(({ id }) => String(id))
  await session`select kairan.confirm('1', ${channels}::text[], ${session.json(ids)})`
  expect(await session`select from kairan.receipts`).toHaveLength(notifications)
  session.release()
})
