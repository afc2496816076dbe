import { expect, test } from 'bun:test'
import postgres from 'postgres'
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
  await using db = await filled()
  const { sql } = db
  await sql`vacuum analyze kairan.numbered`
  const page = `select from kairan.inbox_page('1', '{${channels.join()}}', null, 1000000000, `
  for (const { name, read, unreadOnly, blocks } of cases) {
    await sql.unsafe(`
      insert into kairan.inboxes (user_id, read) values ('1', ${read})
      on conflict (user_id) do update set read = excluded.read`)
    const ask = `${page} ${unreadOnly}, false, 20)`
    // In a new session the catalogue is read, too.
    await sql.unsafe(ask)
    const count = async () => {
      const [row] = await sql.unsafe(`explain (analyze, buffers, timing off, format json) ${ask}`)
      const plan = row?.['QUERY PLAN'][0].Plan
      return Number(plan['Shared Hit Blocks']) + Number(plan['Shared Read Blocks'])
    }
    // A session whose caches were emptied meanwhile reads the catalogue once more.
    expect(Math.min(await count(), await count(), await count()), name).toBeLessThan(blocks)
  }
})

test('finds the channels of the log by a hash, whatever the caller has turned off', async () => {
  await using db = await filled()
  const said: unknown[] = []
  const session = postgres(db.url, { max: 1, onnotice: ({ message }) => void said.push(message) })
  await session.unsafe(`
    load 'auto_explain';
    set auto_explain.log_min_duration = 0;
    set auto_explain.log_nested_statements = on;
    set client_min_messages = log;
    set enable_hashjoin = off`)
  const [row] = await session.unsafe(`
    select count(*)::int as n from kairan.inbox_walk(
      '{${channels.join()}}', array_fill(0::bigint, '{300}'), null, '{1}', '{${log + 1}}')`)
  await session.end()
  expect(row?.n).toBe((log * 300) / 400)
  // Each position with each channel would be fifty times as much work.
  expect(said.join('\n')).toContain('Hash Join')
})

/** A log of so many positions, of 400 channels in turn. */
const filled = async () => {
  const db = await migrated()
  await db.sql`
    insert into kairan.notifications (channels, payload)
    select array['org-' || (n % 400)], '{}' from generate_series(1, ${log}::int) n order by n`
  await db.sql`select kairan.number(${log}::int)`
  return db
}
