import { expect, test } from 'bun:test'
import { migrated } from '../support/schema.ts'

test('deliveries of a time are found along an index also where retention has made room for them', async () => {
  await using db = await migrated()
  const rows = 20_000
  const piece = rows / 10
  const insert = (from: number) => db.sql`
    insert into kairan.numbered (seq, notification_id, channel, created_at)
    select n, gen_random_uuid(), 'user-' || n % 10, now() + (n - 100000) * interval '1 second'
    from generate_series(${from}::int, ${from + piece - 1}::int) n`
  for (let from = 1; from <= rows; from += piece) await insert(from)
  for (let from = rows + 1; from <= rows * 2; from += piece) {
    await db.sql`delete from kairan.numbered where seq < ${from - rows + piece}`
    await db.sql`vacuum kairan.numbered`
    await insert(from)
  }
  await db.sql`vacuum analyze kairan.numbered`

  const [answer] = await db.sql<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }[]>`
    explain (analyze, buffers, format json)
    select status from kairan.numbered
    where created_at between now() + (30000 - 100000) * interval '1 second'
      and now() + (30050 - 100000) * interval '1 second'`
  const plan = answer?.['QUERY PLAN'][0].Plan
  expect(Number(plan?.['Shared Hit Blocks']) + Number(plan?.['Shared Read Blocks'])).toBeLessThan(
    50,
  )
})

test('no index is summarised by autovacuum, which would cancel its vacuum of the same table', async () => {
  await using db = await migrated()
  const summarised = await db.sql`
    select relname, reloptions from pg_class
    where relnamespace = 'kairan'::regnamespace and array_to_string(reloptions, ',') like '%autosummarize%'`
  expect(summarised).toHaveLength(0)
})
