import { expect, setDefaultTimeout, test } from 'bun:test'
import { migrated } from '../support/schema.ts'

setDefaultTimeout(60_000)

/** More than any column may hold, as the type of each column has it. */
const huge: Record<string, string> = {
  text: `repeat('x', 10000000)`,
  'text[]': `array[repeat('x', 10000000)]`,
  jsonb: `jsonb_build_object('x', repeat('x', 10000000))`,
}

/** The largest row that a publisher can store is this, besides its payload and its channels. */
const mostBytes = 10_000

test('every column that a publisher may write has a limit in the table', async () => {
  await using db = await migrated()
  const columns = await db.sql<{ name: string; type: string }[]>`
    select a.attname as name, format_type(a.atttypid, a.atttypmod) as type
    from pg_attribute a
    where a.attrelid = 'kairan.notifications'::regclass and a.attnum > 0 and not a.attisdropped
      and has_column_privilege('kairan_publisher', a.attrelid, a.attnum, 'insert')
    order by a.attnum`
  const tried = columns.filter(({ type }) => type in huge)
  // Each other type has a fixed size.
  const fixed = columns.filter(({ type }) => !(type in huge)).map(({ type }) => type)
  expect([...new Set(fixed)].toSorted()).toEqual(['interval', 'timestamp with time zone', 'uuid'])
  expect(tried.map(({ name }) => name)).toContain('traceparent')

  for (const { name, type } of tried) {
    const others = columns.filter(
      column => ['channels', 'payload'].includes(column.name) && column.name !== name,
    )
    const values = others.map(column =>
      column.name === 'channels' ? `'{user-1}'::text[]` : `'{}'::jsonb`,
    )
    const attempt = db.sql.unsafe(
      `insert into kairan.notifications (${[name, ...others.map(column => column.name)].join(', ')})
       values (${[huge[type], ...values].join(', ')})`,
    )
    const refused = await attempt.then(
      () => null,
      error => String(error.message),
    )
    if (refused !== null) {
      expect(refused).toStartWith('kairan: ')
      expect(refused.length).toBeLessThan(1000)
    }
  }
  const [largest] = await db.sql<{ bytes: number }[]>`
    select coalesce(max(octet_length(n::text)), 0)::int as bytes from kairan.notifications n`
  expect(largest?.bytes).toBeLessThan(mostBytes)
})
