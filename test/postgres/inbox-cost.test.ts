import { expect, test } from 'bun:test'
import { migrated } from '../support/schema.ts'

const log = 20_000
/** A user has 300 of 400 channels. */
const channels = Array.from({ length: 300 }, (_, n) => `org-${n}`)
const alone = `(
  select int8multirange(int8range(0, ${log + 1})) - range_agg(int8range(n * 20, n * 20 + 1))
  from generate_series(1, 999) n)`

const cases: { name: string; read: string; unreadOnly: boolean; blocks: number }[] = [
  // Finding where each channel ends reads more than 1,000 blocks.
  { name: 'all read', read: `'{[0,${log + 1})}'`, unreadOnly: false, blocks: 400 },
  // Going from one to the next in steps of its own reads more than 30,000.
  { name: 'each unread alone', read: alone, unreadOnly: true, blocks: 12_000 },
]

test('goes along the log where that is less than to go along each channel', async () => {
  await using db = await migrated()
  const { sql } = db
  await sql`
    insert into kairan.notifications (channels, payload)
    select array['org-' || (n % 400)], '{}' from generate_series(1, ${log}::int) n order by n`
  await sql`select kairan.number(${log}::int)`
  await sql`vacuum analyze kairan.numbered`
  const page = `select from kairan.inbox_page('1', '{${channels.join()}}', null, 1000000000, `
  for (const { name, read, unreadOnly, blocks } of cases) {
    await sql.unsafe(`
      insert into kairan.inboxes (user_id, read) values ('1', ${read})
      on conflict (user_id) do update set read = excluded.read`)
    const ask = `${page} ${unreadOnly}, false, 20)`
    // In a new session the catalogue is read, too.
    await sql.unsafe(ask)
    const [row] = await sql.unsafe(`explain (analyze, buffers, timing off, format json) ${ask}`)
    const plan = row?.['QUERY PLAN'][0].Plan
    expect(
      Number(plan['Shared Hit Blocks']) + Number(plan['Shared Read Blocks']),
      name,
    ).toBeLessThan(blocks)
  }
})

test('finds the channels of the log by a hash, whatever the caller has turned off', async () => {
  await using db = await migrated()
  const { sql } = db
  await sql`
    insert into kairan.notifications (channels, payload)
    select array['org-' || (n % 400)], '{}' from generate_series(1, ${log}::int) n order by n`
  await sql`select kairan.number(${log}::int)`
  const session = await sql.reserve()
  const fastest = async (hashes: string) => {
    const times: number[] = []
    await session.unsafe(`set enable_hashjoin = ${hashes}; discard plans`)
    for (let n = 0; n < 3; n++) {
      const begin = performance.now()
      const [row] = await session.unsafe(`
        select count(*)::int as n from kairan.inbox_walk(
          '{${channels.join()}}', array_fill(0::bigint, '{300}'), null, '{1}', '{${log + 1}}', ${log})`)
      times.push(performance.now() - begin)
      expect(row?.n).toBe((log * 300) / 400)
    }
    return Math.min(...times)
  }
  // Each position with each channel would be fifty times as much.
  expect(await fastest('off')).toBeLessThan(10 * (await fastest('on')))
  session.release()
})
