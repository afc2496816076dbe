import { expect, setDefaultTimeout, test } from 'bun:test'
import fc from 'fast-check'
import type postgres from 'postgres'
import { frameOf } from '../../src/log/event.ts'
import { type EventRow, toEvent } from '../../src/log/log-store.ts'
import { parseWithdrawal } from '../../src/log/withdrawal.ts'
import { connect } from '../../src/postgres/connect.ts'
import { login } from '../support/logins.ts'
import { migrated } from '../support/schema.ts'

setDefaultTimeout(60_000)

/** What each column is filled with, as SQL, by its type: what is odd, and what lies at the end of what it can be. */
const values: Record<string, fc.Arbitrary<string>> = {
  uuid: fc.uuid().map(id => `'${id}'`),
  text: fc.constantFrom(`repeat('€', 200)`, `E'\\x01'`, `'%'`, `repeat('0', 55)`, `'x'`),
  'text[]': fc.constantFrom(
    `'{user-1}'`,
    `'[5:5]={user-1}'`,
    `'[-2147483648:-2147483648]={user-1}'`,
    `'{{user-1,user-2},{user-3,org-1}}'`,
    `'[0:1][7:7]={{user-1},{user-1}}'`,
    `array(select 'user-' || n from generate_series(1, 1000) n)`,
    `array['user-' || repeat('€', 200)]`,
  ),
  jsonb: fc.constantFrom(
    `'{}'`,
    `jsonb_build_object('x', repeat('x', 3000000))`,
    `jsonb_build_object('x', repeat('x', 16000000))`,
    `('{"x": 1' || repeat('0', 100000) || '}')::jsonb`,
    `(repeat('{"x":', 500) || '1' || repeat('}', 500))::jsonb`,
    `'{"metadata": null}'`,
    `'{"metadata": {"deliveryChannel": "x"}}'`,
  ),
  'timestamp with time zone': fc.constantFrom(
    `'infinity'`,
    `'-infinity'`,
    `'4714-11-24 BC'`,
    `'294276-12-31 23:59:59.999999'`,
    `'1970-01-01Z'`,
    'now()',
    `now() + interval '23 hours'`,
  ),
  // Months, days and microseconds that make up for each other, so that the whole may be a few minutes.
  interval: fc
    .tuple(
      fc.oneof(fc.integer({ min: -71_582_788, max: 71_582_788 }), fc.integer({ min: -2, max: 2 })),
      fc.oneof(fc.constant(0), fc.integer({ min: -50_000_000, max: 50_000_000 })),
      fc.integer({ min: 0, max: 40 * 24 * 3600 }),
    )
    .map(
      ([months, days, seconds]) =>
        `make_interval(months => ${months}, days => ${-months * 30 + days}, hours => ${-days * 24}, secs => ${seconds})`,
    ),
}

/** What a service does with it: numbers, sends, passes by what is due, and takes back. */
const handle = async (sql: postgres.Sql, service: ReturnType<typeof connect>, id: string) => {
  for (let more = true; more; ) {
    const [first, ...rows] = await service<(EventRow & { state: { more: boolean } | null })[]>`
      select * from kairan.number()`
    for (const row of rows) {
      const { bytes } = frameOf(toEvent(row), 'x')
      JSON.parse(new TextDecoder().decode(bytes).replace(/^id: .*\ndata: /, ''))
    }
    more = first?.state?.more === true
  }
  const wrong = await sql`
    select from kairan.notifications n
    where array(select unnest(n.channels)) is distinct from (
      select array_agg(d.channel order by d.seq) from kairan.deliveries d where d.notification_id = n.id and d.seq > 0
    )`
  expect(wrong).toHaveLength(0)
  await sql`select kairan.decide_follow_ups()`
  await sql`select kairan.expire_after('-infinity')`
  await sql`select kairan.withdraw(${id})`
  const [told] = await sql`delete from kairan.user_changes returning change::text`
  const [{ channels } = { channels: [] }] = await sql`
    select to_jsonb(channels) as channels from kairan.notifications where id = ${id} and ${told !== undefined}`
  expect(parseWithdrawal(told?.change ?? '')?.channels ?? []).toEqual(channels)
  await sql`delete from kairan.notifications`
}

test('what a publisher can store can be numbered and sent, whatever is in its columns', async () => {
  await using db = await migrated()
  await db.sql`select setval('kairan.max_event_bytes', ${16 * 1024 * 1024})`
  await using publisher = await login(db, 'kairan_publisher')
  const service = connect(db.url, { max: 1, name: 'test' })
  const columns = await db.sql<{ name: string; type: string; table: string }[]>`
    select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, c.relname as table
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.oid in ('kairan.notifications'::regclass, 'kairan.scheduled'::regclass)
      and a.attnum > 0 and not a.attisdropped
      and has_column_privilege('kairan_publisher', a.attrelid, a.attnum, 'insert')
    order by a.attnum`
  let stored = 0
  const tables = ['notifications', 'scheduled'].map(table => {
    const fields = columns
      .filter(column => column.table === table)
      .map(({ name, type }) => {
        const value = values[type]
        if (!value) throw new Error(`There is a value of no ${type} here`)
        const isNeeded = ['channels', 'payload', 'send_at'].includes(name)
        return [name, isNeeded ? value : fc.option(value, { freq: 3 })] as const
      })
    return fc.record({ table: fc.constant(table), row: fc.record(Object.fromEntries(fields)) })
  })
  const row = fc.oneof(...tables)
  await fc.assert(
    fc.asyncProperty(row, async ({ table, row }) => {
      const given = Object.entries(row).filter(([, value]) => value !== null)
      const id = await publisher.sql
        .unsafe(
          `insert into kairan.${table} (${given.map(([name]) => name)})
           values (${given.map(([, value]) => value)}) returning id`,
        )
        .then(
          ([made]) => made?.id,
          () => null,
        )
      if (id === null) return
      stored++
      await db.sql`select kairan.send_due()`
      await handle(db.sql, service, id)
      await db.sql`delete from kairan.scheduled`
    }),
    {
      numRuns: 150,
      examples: [
        [
          {
            table: 'notifications',
            row: {
              channels: `'{user-1}'`,
              payload: `'{}'`,
              follow_up_after: `interval '71582788 months -2147483640 days 5 minutes'`,
            },
          },
        ],
        [
          {
            table: 'notifications',
            row: {
              channels: `array(select 'user-' || n from generate_series(1, 1000) n)`,
              payload: `jsonb_build_object('x', repeat('x', 3000000))`,
            },
          },
        ],
        [
          {
            table: 'notifications',
            row: { channels: `'{{user-1,user-2},{user-3,user-4}}'`, payload: `'{}'` },
          },
        ],
      ],
    },
  )
  expect(stored).toBeGreaterThan(10)
  await service.end()
})
