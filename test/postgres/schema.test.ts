import { expect, test } from 'bun:test'
import { migrate } from '../../src/postgres/migrate.ts'
import { database } from '../support/database.ts'
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
      where c.relnamespace = 'kairan'::regnamespace and c.relkind = 'r' and c.relname <> 'migrations'
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
      || pg_get_function_result(oid) as signature
    from pg_proc where pronamespace = 'kairan'::regnamespace`
  const rest =
    'payload jsonb, type text DEFAULT NULL::text, dedupe_key text DEFAULT NULL::text, ' +
    'expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone) returns uuid'
  expect(functions.map(({ signature }) => signature)).toEqual(
    expect.arrayContaining([
      `publish(channel text, ${rest}`,
      `publish(channels text[], ${rest}`,
      `try_publish(channel text, ${rest}`,
      `try_publish(channels text[], ${rest}`,
      'publish_row() returns trigger',
      'reauthorize(user_id text) returns void',
      'disconnect(user_id text) returns void',
      'redeliver(notification_id uuid, channel text DEFAULT NULL::text) returns integer',
    ]),
  )
})

test('instances that start together migrate once', async () => {
  await using db = await database()
  const applied = await Promise.all(Array.from({ length: 5 }, () => migrate(db.url)))
  const { length } = await db.sql`select from kairan.migrations`
  expect(applied.flat()).toHaveLength(length)
  expect(await migrate(db.url)).toEqual([])
})

test('a migration that fails leaves nothing half done, and says why', async () => {
  await using db = await database()
  await db.sql.unsafe('create schema kairan; create table kairan.roles (other int)')
  await expect(migrate(db.url)).rejects.toThrow('relation "roles" already exists')
  const [found] = await db.sql`select to_regclass('kairan.notifications') as table`
  expect(found?.table).toBeNull()

  await db.sql`drop table kairan.roles`
  expect((await migrate(db.url)).length).toBeGreaterThan(0)
})

test('leaves a database alone that a newer Kairan has migrated', async () => {
  await using db = await migrated()
  await db.sql`insert into kairan.migrations (version, name) values (9999, 'from the future')`
  expect(await migrate(db.url)).toEqual([])
})
