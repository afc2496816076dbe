import { expect, test } from 'bun:test'
import { migrate } from '../../src/postgres/migrate.ts'
import {
  arm,
  bitten,
  callEverything,
  hostile,
  touchEveryColumn,
  triggerEverything,
} from '../support/attack/attack.ts'
import { login } from '../support/logins.ts'
import { migrated } from '../support/schema.ts'

const roles = [
  [],
  ['kairan_publisher'],
  ['kairan_reader'],
  ['kairan_follower'],
  ['kairan_publisher', 'kairan_reader', 'kairan_follower'],
]

for (const groups of roles) {
  const who = groups.length === 0 ? 'a login without roles' : groups.join(' and ')

  test(`no code of ${who} runs with other rights: functions and columns`, async () => {
    await using db = await migrated()
    await using attacker = await login(db, ...groups)
    await arm(db, attacker)
    await db.sql`select kairan.publish('user-1', '{"secret": true}', 't', 'key')`
    for (const before of ['', hostile]) {
      expect(await callEverything(db, attacker, before)).toBeGreaterThan(300)
      expect(await touchEveryColumn(db, attacker, before)).toBeGreaterThan(500)
      expect(await bitten(db, attacker)).toEqual([])
    }
  })
}

test('no code of a publisher runs with other rights: triggers, whoever writes the row', async () => {
  await using db = await migrated()
  await using attacker = await login(db, 'kairan_publisher')
  await using clerk = await login(db)
  await arm(db, attacker)
  for (const before of ['', hostile]) {
    expect(await triggerEverything(db, attacker, attacker, before)).toBeGreaterThan(5)
    expect(await bitten(db, attacker)).toEqual([])
  }
  await triggerEverything(db, attacker, clerk)
  const [superuser] = await db.sql`select current_user as name`
  await triggerEverything(db, attacker, db)
  expect(await bitten(db, attacker, clerk.name, superuser?.name)).toEqual([])
  const [count] = await db.sql`select count(*)::int as n from kairan.notifications`
  expect(count?.n).toBeGreaterThan(50)
})

test('the suite finds a function that is added later and evaluates what a publisher has made', async () => {
  const weak = [
    `create function kairan.weak(value anyelement) returns jsonb language sql security definer as 'select to_jsonb(value)'`,
    `create function kairan.weak(value record) returns text language plpgsql security definer as 'begin return to_json(value)::text; end'`,
    `create function kairan.weak(value text) returns boolean language plpgsql security definer as 'begin return lower(value) = value; end'`,
    `create function kairan.weak() returns trigger language plpgsql security definer as
      'begin perform to_jsonb(case when tg_op = ''DELETE'' then old else new end); return null; end'`,
    `create function kairan.weak() returns trigger language plpgsql security definer set search_path = pg_catalog as
      'begin perform (new.bait)::text; return null; end'`,
  ]
  await using db = await migrated()
  await using attacker = await login(db, 'kairan_publisher')
  await arm(db, attacker)
  for (const definition of weak) {
    await db.sql.unsafe(`${definition}; grant execute on all functions in schema kairan to public`)
    for (const before of ['', hostile]) {
      await callEverything(db, attacker, before, 'weak')
      await triggerEverything(db, attacker, attacker, before, 'weak')
    }
    expect([definition, await bitten(db, attacker)]).toEqual([
      definition,
      expect.arrayContaining([expect.stringContaining(' runs as ')]),
    ])
    await db.sql.unsafe(`drop routine kairan.weak cascade; truncate evil.seen`)
  }
})

test('what a login puts into the search_path of others is not run by who migrates', async () => {
  await using db = await migrated()
  await using attacker = await login(db, 'kairan_publisher')
  await arm(db, attacker)
  // As in a database that was made by a Postgres older than 15: everybody's search_path leads to it.
  await db.sql.unsafe(`grant all on schema public to public`)
  await attacker.sql.unsafe(`
    do $$ declare item record; begin
      for item in select oid::regprocedure as name from pg_proc
        where pronamespace = 'evil'::regnamespace and proowner = current_user::regrole and proname !~ '^(probe|checked|trap_json|to_|op_|own_)'
      loop execute format('alter function %s set schema public', item.name); end loop;
      for item in select oid, oprname, oprleft::regtype as l, oprright::regtype as r from pg_operator where oprnamespace = 'evil'::regnamespace
      loop execute format('alter operator evil.%s (%s, %s) set schema public', item.oprname, item.l, item.r); end loop;
    end $$`)
  await attacker.sql.unsafe(`
    create function public.to_jsonb(int) returns jsonb language plpgsql as
      $$ begin perform evil.probe('to_jsonb'); return '{}'; end $$;
    create function public.max(name) returns text language plpgsql as
      $$ begin perform evil.probe('max'); return ''; end $$`)
  await migrate(db.url)
  expect(await bitten(db, attacker)).toEqual([])
})
