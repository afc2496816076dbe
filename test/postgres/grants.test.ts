import { expect, test } from 'bun:test'
import postgres from 'postgres'
import { migrate } from '../../src/postgres/migrate.ts'
import { cluster } from '../support/cluster.ts'
import { database } from '../support/database.ts'
import { denied, login, stateOf } from '../support/logins.ts'
import { rightsOf } from '../support/rights.ts'
import { migrated } from '../support/schema.ts'

test('everything belongs to kairan_owner when a superuser migrates', async () => {
  await using db = await migrated()
  expect(await owners(db.sql)).toEqual(['kairan_owner'])
})

test('a second migration writes nothing', async () => {
  await using db = await migrated()
  const before = await versions(db.sql)
  await migrate(db.url)
  expect(await versions(db.sql)).toEqual(before)
})

test('what a later migration makes is covered, and so is what was granted by mistake', async () => {
  await using db = await migrated()
  await using publisher = await login(db, 'kairan_publisher')
  const before = await rightsOf(db, publisher)
  await db.sql.unsafe(`
    create table kairan.later (id int);
    create function kairan.later() returns int language sql as 'select 1';
    create function kairan.later_trigger() returns trigger language plpgsql as 'begin return null; end';
    grant select, delete on kairan.notifications to kairan_publisher;
    grant select on kairan.tickets to public`)
  await migrate(db.url)
  expect(await rightsOf(db, publisher)).toEqual(before)

  await using service = await login(db, 'kairan_service')
  expect(await rightsOf(db, service)).toContainValues([
    'select later.id',
    'insert later.id',
    'execute later',
  ])
  const [trigger] = await db.sql`
    select prosecdef, proconfig from pg_proc where oid = 'kairan.later_trigger'::regproc`
  expect(trigger).toEqual({ prosecdef: true, proconfig: ['search_path=pg_catalog, pg_temp'] })
})

test('an ordinary login that migrates keeps what it owns, and publishers of it publish', async () => {
  // Made by a superuser before, with all the roles.
  await using _ = await migrated()
  await using db = await database({ empty: true })
  await using shop = await login(db)
  await db.sql.unsafe(
    `grant create on database ${new URL(db.url).pathname.slice(1)} to ${shop.name}`,
  )
  const notes: string[] = []
  await migrate(shop.url, note => notes.push(note))
  expect(notes).toEqual([])
  expect(await owners(db.sql)).toEqual([shop.name])

  await using publisher = await login(db, 'kairan_publisher')
  await publisher.sql.unsafe(`
    create temp table orders (id int);
    create trigger t after insert on orders for each row execute function kairan.publish_row('user-{id}');
    insert into orders values (1)`)
  expect(await stateOf(publisher.sql`select payload from kairan.notifications`)).toBe(denied)
  expect([...(await shop.sql`select channels from kairan.notifications`)]).toEqual([
    { channels: ['user-1'] },
  ])

  // A superuser's turn leaves it so: the login would lose its rights.
  await migrate(db.url)
  expect(await owners(db.sql)).toEqual([shop.name])
})

test('a member of kairan_owner migrates, and what it makes is handed over', async () => {
  await using _ = await migrated()
  await using db = await database({ empty: true })
  await using deploy = await login(db, 'kairan_owner')
  await db.sql.unsafe(
    `grant create on database ${new URL(db.url).pathname.slice(1)} to ${deploy.name}`,
  )
  await migrate(deploy.url)
  expect(await owners(db.sql)).toEqual(['kairan_owner'])
  expect(await migrate(deploy.url)).toEqual([])
})

test('a member of kairan_owner that may not give the schema away keeps it', async () => {
  await using _ = await migrated()
  await using db = await database({ empty: true })
  await using deploy = await login(db, 'kairan_owner')
  await db.sql.unsafe(`create schema kairan authorization ${deploy.name}`)
  await migrate(deploy.url)
  expect(await owners(db.sql)).toEqual([deploy.name])
})

test('the next start repairs rights whatever the database quotes, and whatever is missing', async () => {
  await using db = await migrated()
  await using publisher = await login(db, 'kairan_publisher')
  const before = await rightsOf(db, publisher)
  const name = new URL(db.url).pathname.slice(1)
  await db.sql.unsafe(`
    alter database ${name} set quote_all_identifiers = on;
    alter database ${name} set standard_conforming_strings = off;
    alter database ${name} set search_path = nowhere`)
  await migrate(db.url)
  expect(await rightsOf(db, publisher)).toEqual(before)

  const functions = await db.sql`
    select oid::regprocedure::text as name from pg_proc where pronamespace = 'kairan'::regnamespace`
  for (const { name: missing } of functions) {
    await db.sql.unsafe(`drop function if exists ${missing} cascade`)
    expect([missing, await migrate(db.url)]).toEqual([missing, []])
  }
})

test('default privileges, rules and policies of others give nobody more, and keep nobody from starting', async () => {
  await using db = await migrated()
  await using publisher = await login(db, 'kairan_publisher')
  const before = await rightsOf(db, publisher)
  await db.sql.unsafe(`
    alter default privileges grant all on tables to public;
    alter default privileges grant all on functions to public;
    alter default privileges in schema kairan grant all on sequences to kairan_publisher;
    create table kairan.later (id int generated always as identity);
    create function kairan.later() returns int language sql as 'select 1'`)
  expect(await migrate(db.url)).toEqual([])
  expect(await rightsOf(db, publisher)).toEqual(before)
  for (const statement of [
    'create rule r as on insert to kairan.notifications do also select 1',
    'create policy p on kairan.notifications to public using (true)',
    'alter table kairan.notifications disable row level security',
    'create trigger t after insert on kairan.notifications for each statement execute function kairan.publish_row()',
    'alter default privileges for role kairan_owner grant all on tables to public',
    'alter function kairan.publish_row() security invoker',
    'drop function kairan.publish_row() cascade',
    'set role kairan_owner',
    'set session_replication_role = replica',
    'create event trigger e on ddl_command_end execute function kairan.publish_row()',
  ]) {
    expect([statement, await stateOf(publisher.sql.unsafe(statement))]).toEqual([statement, denied])
  }
})

test('a login that was given rights by hand before there were roles keeps them', async () => {
  await using db = await migrated()
  await using shop = await login(db)
  await using stranger = await login(db)
  // As it was: functions were everybody's and ran with their caller's rights.
  await db.sql.unsafe(`
    alter function kairan.forget_deliveries() security invoker reset all;
    grant execute on all functions in schema kairan to public;
    grant usage on schema kairan to ${shop.name};
    grant select, insert on kairan.notifications to ${shop.name};
    grant select on sequence kairan.max_event_bytes, kairan.awake_until to ${shop.name}`)
  await migrate(db.url)
  await shop.sql`select kairan.publish('user-1', '{"n": 1}', dedupe_key => 'a')`
  await shop.sql`insert into kairan.notifications (channels, payload) values ('{user-1}', '{"n": 2}')`
  await shop.sql`select kairan.reauthorize('1')`
  expect([...(await db.sql`select count(*)::int as n from kairan.deliveries`)]).toEqual([{ n: 2 }])
  expect(await rightsOf(db, stranger)).toEqual([])
})

test('without the right to create roles it says so once, and all works with the one login', async () => {
  await using server = await cluster()
  const admin = postgres(server.url, { max: 1, onnotice: () => undefined })
  await admin.unsafe(`create role app login password 'secret'`)
  await admin.unsafe('create database app owner app')
  const url = Object.assign(new URL(server.url), {
    username: 'app',
    password: 'secret',
    pathname: '/app',
  })
  const notes: string[] = []
  await migrate(url.toString(), note => notes.push(note))
  expect(notes).toEqual([expect.stringContaining('CREATEROLE')])
  const app = postgres(url.toString(), { max: 1 })
  const [published] = await app`select kairan.publish('user-1', '{}') as id`
  expect(published?.id).toMatch(/^.{14}7/)
  await app.end()

  // With it, it makes them, and keeps what it owns.
  await admin.unsafe('alter role app createrole')
  await migrate(url.toString(), note => notes.push(note))
  expect(notes).toHaveLength(1)
  expect([
    ...(await admin`select rolname from pg_roles where rolname like 'kairan_%'`),
  ]).toHaveLength(5)

  // Databases that are migrated at the same time make the roles once, and all have them.
  const names = ['a', 'b', 'c', 'd']
  for (const name of names) await admin.unsafe(`create database ${name}`)
  const urls = names.map(name =>
    Object.assign(new URL(server.url), { pathname: `/${name}` }).toString(),
  )
  await Promise.all(urls.flatMap(one => [migrate(one), migrate(one)]))
  for (const one of urls) {
    const sql = postgres(one, { max: 1 })
    expect(await owners(sql)).toEqual(['kairan_owner'])
    await sql.end()
  }
  await admin.end()
}, 120_000)

const owners = async (sql: postgres.Sql) =>
  (
    await sql`
      select nspowner::regrole::text as owner from pg_namespace where nspname = 'kairan'
      union select relowner::regrole::text from pg_class where relnamespace = 'kairan'::regnamespace
      union select proowner::regrole::text from pg_proc where pronamespace = 'kairan'::regnamespace
      order by 1`
  ).map(({ owner }) => owner)

/** Which version each row of the catalog has: a grant that changes nothing would make another. */
const versions = async (sql: postgres.Sql) => [
  ...(await sql`
    select 'class ' || relname as name, xmin::text from pg_class where relnamespace = 'kairan'::regnamespace
    union all select 'column ' || attname, a.xmin::text from pg_attribute a join pg_class c on c.oid = attrelid
      where c.relnamespace = 'kairan'::regnamespace
    union all select 'function ' || proname, xmin::text from pg_proc where pronamespace = 'kairan'::regnamespace
    union all select 'schema', xmin::text from pg_namespace where nspname = 'kairan'
    order by 1, 2`),
]
