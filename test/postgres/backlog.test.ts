import { expect, test } from 'bun:test'
import { migrated } from '../support/schema.ts'

test('a piece of a backlog reads nothing of what was published since the backlog was looked at', async () => {
  await using db = await migrated()
  const publish = (rows: number) => db.sql`
    insert into kairan.notifications (channels, payload)
    select array['user-1'], '{}' from generate_series(1, ${rows}::int)`
  await publish(250)
  await db.sql`select from kairan.number(100)`
  await publish(20_000)

  const looks = await db.sql.begin(async sql => {
    const read: number[] = []
    for (;;) {
      const [at] = await sql<{ fetched: number }[]>`
        select idx_tup_fetch::float8 as fetched from pg_stat_xact_user_tables
        where relid = 'kairan.notifications'::regclass`
      read.push(at?.fetched ?? 0)
      const [last] = await sql<{ target: string | null }[]>`
        select target::text from kairan.batches order by n desc limit 1`
      if (last?.target === null) return read
      await sql`select from kairan.number(100)`
    }
  })

  expect(await db.sql`select from kairan.numbered`).toHaveLength(250)
  // Two pieces: 100 and one more to know that there is more, and the last 50; each looks at 20 to see how large they are.
  expect(looks).toHaveLength(3)
  expect(looks.at(-1)).toBeLessThan(400)
})
