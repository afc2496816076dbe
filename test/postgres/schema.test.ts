import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { isChannel } from '../../src/auth/channels.ts'
import { migrated } from '../support/schema.ts'

test('every object of the schema says what it is for', async () => {
  await using db = await migrated()
  const uncommented = await db.sql`
    with objects as (
      select 'pg_class'::regclass as class, c.oid, 0 as column, c.relname::text as name
      from pg_class c
      where c.relnamespace = 'kairan'::regnamespace and c.relkind in ('r', 'v', 'i', 'S')
        and not exists (select from pg_constraint k where k.conindid = c.oid)
        and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i')
      union all
      select 'pg_class'::regclass, c.oid, a.attnum, c.relname || '.' || a.attname
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
      where c.relnamespace = 'kairan'::regnamespace and c.relkind = 'r'
      union all
      select 'pg_proc'::regclass, p.oid, 0, p.proname::text
      from pg_proc p where p.pronamespace = 'kairan'::regnamespace
      union all
      select 'pg_trigger'::regclass, t.oid, 0, t.tgname::text
      from pg_trigger t join pg_class c on c.oid = t.tgrelid
      where c.relnamespace = 'kairan'::regnamespace and not t.tgisinternal
    )
    select name from objects o
    where not exists (
      select from pg_description d
      where d.classoid = o.class and d.objoid = o.oid and d.objsubid = o.column
    )`
  expect(uncommented.map(({ name }) => name)).toEqual([])
})

test('has the functions of the contract, with the names of their arguments', async () => {
  await using db = await migrated()
  const functions = await db.sql`
    select proname || '(' || pg_get_function_arguments(oid) || ') returns '
      || replace(pg_get_function_result(oid), 'kairan.', '') as signature
    from pg_proc where pronamespace = 'kairan'::regnamespace`
  const rest =
    'payload jsonb, type text DEFAULT NULL::text, dedupe_key text DEFAULT NULL::text, ' +
    'expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, ' +
    'send_at timestamp with time zone DEFAULT NULL::timestamp with time zone, ' +
    'follow_up_after interval DEFAULT NULL::interval) returns uuid'
  expect(functions.map(({ signature }) => signature)).toEqual(
    expect.arrayContaining([
      `publish(channel text, ${rest}`,
      `publish(channels text[], ${rest}`,
      `try_publish(channel text, ${rest}`,
      `try_publish(channels text[], ${rest}`,
      'publish_row() returns trigger',
      'reauthorize(user_id text) returns void',
      'disconnect(user_id text) returns void',
      "take_follow_ups(n integer, give_back_after interval DEFAULT '00:05:00'::interval) returns SETOF follow_ups",
      'finish_follow_up(id bigint, error text DEFAULT NULL::text) returns boolean',
      'redeliver(notification_id uuid, channel text DEFAULT NULL::text) returns integer',
    ]),
  )
})

test('has the columns of deliveries and roles that the contract names', async () => {
  await using db = await migrated()
  const columns = await db.sql`
    select table_name || '.' || column_name || ' ' || data_type as column
    from information_schema.columns where table_schema = 'kairan'`
  expect(columns.map(({ column }) => column)).toEqual(
    expect.arrayContaining([
      'deliveries.notification_id uuid',
      'deliveries.channel text',
      'deliveries.status text',
      'deliveries.error text',
      'deliveries.recipients integer',
      'deliveries.seq bigint',
      'deliveries.created_at timestamp with time zone',
      'deliveries.delivered_at timestamp with time zone',
      'roles.user_id text',
      'roles.role_level integer',
    ]),
  )
})

test('SQL and the service agree on what is a channel', async () => {
  await using db = await migrated()
  // Postgres stores no NUL, so it never has to judge one.
  const text = fc
    .string({ unit: fc.oneof(fc.constantFrom(' ', ',', '\n', '\x7f', '\x85'), codePoint) })
    .map(part => part.replaceAll('\0', ''))
  const length = fc
    .constantFrom('x', '回', '😀')
    .chain(unit => fc.integer({ min: 199, max: 201 }).map(times => unit.repeat(times)))
  const name = fc
    .tuple(
      fc.constantFrom('user-', 'user-', 'user-', 'User-', '', ' user-'),
      fc.oneof(text, length),
    )
    .map(parts => parts.join(''))
  const names = fc.array(fc.oneof(name, fc.constantFrom('all-users', 'admin-dashboard\n')), {
    minLength: 200,
    maxLength: 200,
  })
  await fc.assert(
    fc.asyncProperty(names, async list => {
      const rows = await db.sql`
        select name, kairan.is_channel(name) as here from unnest(${list}::text[]) name`
      for (const { name, here } of rows) expect([name, here]).toEqual([name, isChannel(name)])
    }),
    { numRuns: 10 },
  )
})

const codePoint = fc.string({ unit: 'binary', minLength: 1, maxLength: 1 })
