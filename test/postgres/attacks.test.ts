import { expect, test } from 'bun:test'
import { login, stateOf } from '../support/logins.ts'
import { migrated } from '../support/schema.ts'

test('what runs with the rights of its owner has a search_path that nobody can change', async () => {
  await using db = await migrated()
  const functions = await db.sql`
    select proname as name, proowner::regrole::text as owner, proconfig as settings
    from pg_proc where pronamespace = 'kairan'::regnamespace and prosecdef order by 1`
  expect(functions.map(({ name, owner }) => `${name} ${owner}`)).toEqual([
    'check_scheduled kairan_owner',
    'disconnect kairan_owner',
    'examine kairan_owner',
    'follow_server kairan_owner',
    'forget_deliveries kairan_owner',
    'members_changed kairan_owner',
    'mutes_changed kairan_owner',
    'note_joining kairan_owner',
    'pass_on_expiry kairan_owner',
    'place_member kairan_owner',
    'presence_of kairan_owner',
    'prune_audit kairan_owner',
    'publish_row kairan_owner',
    'published_as kairan_owner',
    'reauthorize kairan_owner',
    'role_changed kairan_owner',
    'roles_truncated kairan_owner',
    'unnumbered kairan_owner',
    'withdraw kairan_owner',
  ])
  for (const { settings } of functions)
    expect(settings).toContain('search_path=pg_catalog, pg_temp')
})

/** Everything that Kairan's functions use, under the names that they use, but made by an attacker. */
const impostors = (schema: string) => `
  create table ${schema}.used (what text, who name);
  create table ${schema}.deliveries (notification_id uuid, channel text, created_at timestamptz);
  create function ${schema}.note(what text) returns void language sql as
    $$ insert into ${schema}.used values (what, current_user) $$;
  create function ${schema}.octet_length(text) returns int language plpgsql as
    $$ begin perform ${schema}.note('octet_length'); return 1; end $$;
  create function ${schema}.jsonb_typeof(jsonb) returns text language plpgsql as
    $$ begin perform ${schema}.note('jsonb_typeof'); return 'object'; end $$;
  create function ${schema}.pg_notify(text, text) returns void language plpgsql as
    $$ begin perform ${schema}.note('pg_notify'); end $$;
  create function ${schema}.cardinality(text[]) returns int language plpgsql as
    $$ begin perform ${schema}.note('cardinality'); return 1; end $$;
  create function ${schema}.same(text, text) returns boolean language plpgsql as
    $$ begin perform ${schema}.note('='); return true; end $$;
  create function ${schema}.less(int, bigint) returns boolean language plpgsql as
    $$ begin perform ${schema}.note('<='); return true; end $$;
  create operator ${schema}.= (leftarg = text, rightarg = text, function = ${schema}.same);
  create operator ${schema}.~ (leftarg = text, rightarg = text, function = ${schema}.same);
  create operator ${schema}.<= (leftarg = int, rightarg = bigint, function = ${schema}.less);
  grant usage on schema ${schema} to public;
  grant insert on ${schema}.used to public`

test("a publisher's search_path neither runs its code with other rights nor gets round the checks", async () => {
  await using db = await migrated()
  await using attacker = await login(db, 'kairan_publisher')
  await db.sql.unsafe(`create schema evil authorization ${attacker.name}`)
  await attacker.sql.unsafe(impostors('evil'))
  const as = (statement: string) =>
    attacker.sql.begin(async sql => {
      await sql.unsafe('set local search_path = evil, pg_catalog, pg_temp')
      await sql.unsafe(statement)
    })

  await as(`
    select kairan.publish('user-1', '{}', dedupe_key => 'a');
    select kairan.publish('user-1', '{}', dedupe_key => 'a');
    select kairan.publish('{user-1,user-2}'::text[], '{"metadata": {}}');
    insert into kairan.notifications (channels, payload) values ('{user-1}', '{}');
    create temp table orders (id int);
    create trigger t after insert on orders for each row execute function kairan.publish_row('user-{id}');
    insert into orders values (1);`)
  expect([
    ...(await attacker.sql`select distinct who from evil.used where who <> current_user`),
  ]).toEqual([])
  const [count] = await db.sql`select count(*)::int as n from kairan.deliveries`
  expect(count?.n).toBe(5)

  const refused = [
    `insert into kairan.notifications (channels, payload) values ('{no where}', '{}')`,
    `insert into kairan.notifications (channels, payload) values ('{user-1}', '7')`,
    `insert into kairan.notifications (channels, payload) values ('{}', '{}')`,
    `insert into kairan.notifications (channels, payload, created_at) values ('{user-1}', '{}', 'infinity')`,
  ]
  for (const statement of refused)
    expect([statement, await stateOf(as(statement))]).toEqual([statement, '22023'])
  const large = `jsonb_build_object('a', repeat('x', 70000))`
  expect(
    await stateOf(
      as(`insert into kairan.notifications (channels, payload) values ('{user-1}', ${large})`),
    ),
  ).toBe('54000')
})

test('a cast to JSON that a publisher has made is not called when its row is published', async () => {
  await using db = await migrated()
  await using attacker = await login(db, 'kairan_publisher')
  await db.sql.unsafe(`create schema evil authorization ${attacker.name}`)
  await attacker.sql.unsafe(`
    create type evil.bait as enum ('x');
    grant usage on schema evil to public;
    create function evil.bite(evil.bait) returns json language plpgsql as $$
    begin
      alter function kairan.publish_row() security invoker;
      return json_build_object('as', current_user);
    end $$;
    create cast (evil.bait as json) with function evil.bite(evil.bait);
    create table evil.trap (id int, bait evil.bait);
    create trigger t after insert on evil.trap for each row execute function kairan.publish_row('user-1')`)
  await attacker.sql`insert into evil.trap values (1, 'x')`
  const [row] = await db.sql`select payload from kairan.notifications`
  expect(row?.payload).toEqual({ id: 1, bait: 'x' })
})
