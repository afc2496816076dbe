import type { TestDatabase } from '../database.ts'
import type { Login } from '../logins.ts'
import arms from './arms.sql' with { type: 'text' }

/** Makes the schema `evil`, which belongs to the attacker, with all that it can make in it. */
export const arm = async (db: TestDatabase, attacker: Login) => {
  await db.sql.unsafe(`create schema evil authorization ${attacker.name}`)
  await attacker.sql.unsafe(arms.replaceAll('ATTACKER', attacker.name))
}

/** Which of the attacker's code has run with rights that are neither its own nor those of `writers`. */
export const bitten = async (db: TestDatabase, attacker: Login, ...writers: string[]) => {
  const seen = await db.sql<{ bite: string }[]>`
    select distinct what || ' runs as ' || who as bite from evil.seen
    where who <> all(string_to_array(${[attacker.name, ...writers].join(',')}, ',')) order by 1`
  const [row] = await db.sql<
    { is_bitten: boolean }[]
  >`select is_called as is_bitten from evil.bitten`
  // Somebody who writes into the attacker's table runs its checks: that is Postgres'.
  const unseen = writers.length === 0 && seen.length === 0 && row?.is_bitten
  return [
    ...seen.map(({ bite }) => bite),
    ...(unseen ? ['something in a statement that failed'] : []),
  ]
}

/** Runs each statement in a transaction of its own, and keeps what it did. Returns how many went through. */
const tryAll = async (login: Login, statements: string[], before = '') => {
  let done = 0
  for (const statement of statements) {
    try {
      await login.sql.begin(async sql => {
        if (before) await sql.unsafe(before)
        await sql.unsafe(statement)
      })
      done++
    } catch {
      // Refused, which is the aim.
    }
  }
  return done
}

const kinds = [
  `'x'::evil.bait`,
  `array['x'::evil.bait]`,
  `row(1, 'x', 'a')::evil.pair`,
  `array[row(1, 'x', 'a')::evil.pair]`,
  `'[1,2)'::evil.stretch`,
  `'{[1,2)}'::evil.stretches`,
  `'a'::evil.checked_text`,
  `'x'::evil.checked_bait`,
  `row(1, 'x', 'a', 2)::evil.rows`,
  `row(1, 'x'::evil.bait)`,
]

/** Settings of a session with which functions have been made to do something else. */
export const hostile = `
  set local search_path = evil, pg_temp, pg_catalog;
  set local quote_all_identifiers = on;
  set local standard_conforming_strings = off;
  set local escape_string_warning = off;
  set local transform_null_equals = on;
  set local array_nulls = off;
  set local DateStyle = 'SQL, DMY';
  set local IntervalStyle = 'sql_standard';
  set local extra_float_digits = -15;
  set local bytea_output = 'escape';
  set local xmlbinary = 'hex';
  set local row_security = off;
  set local check_function_bodies = off;
  set local enable_seqscan = off;
  set local enable_indexscan = off;
  set local plan_cache_mode = force_custom_plan;
  set local default_transaction_read_only = on;
  set local jit = off;
  set local from_collapse_limit = 1;
  set local plpgsql.extra_errors = 'all'`

/** Every function of the schema, with arguments of every kind of type that the attacker has made. */
export const callEverything = async (
  db: TestDatabase,
  attacker: Login,
  before = '',
  only = '%',
) => {
  const functions = await db.sql<{ name: string; types: string[] }[]>`
    select p.proname as name, array(
      select t.typname::text from unnest(p.proargtypes::oid[]) with ordinality a (type, place)
      join pg_type t on t.oid = a.type order by place
    ) as types
    from pg_proc p
    where p.pronamespace = 'kairan'::regnamespace and p.prorettype <> 'trigger'::regtype and p.proname like ${only}`
  const statements = functions.flatMap(({ name, types }) =>
    kinds.map(kind => `select kairan.${name}(${types.map(() => kind).join(', ')})`),
  )
  await tryAll(attacker, statements, before)
  return statements.length
}

/** Every column of the schema: read, compared, written, with what the attacker has made. */
export const touchEveryColumn = async (db: TestDatabase, attacker: Login, before = '') => {
  const columns = await db.sql<{ relation: string; name: string; type: string; kind: string }[]>`
    select c.relname as relation, a.attname as name, format_type(a.atttypid, null) as type, c.relkind::text as kind
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'kairan'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')`
  const statements = columns.flatMap(({ relation, name }) => [
    `select ${name} from kairan.${relation} where evil.checked(${name}) limit 5`,
    `select ${name} from kairan.${relation} where ${name} operator(evil.=) ${name} order by ${name} using operator(evil.<) limit 5`,
    `select r::text, to_jsonb(r) from kairan.${relation} r limit 5`,
    ...kinds.map(kind => `insert into kairan.${relation} (${name}) values (${kind})`),
    `update kairan.${relation} set ${name} = 'x'::evil.bait`,
    `insert into kairan.${relation} (channels, payload, ${name}) values ('{user-1}', '{}', 'x'::evil.bait)`,
    `insert into kairan.${relation} (${name}) values (default) on conflict do nothing returning evil.checked(${name})`,
  ])
  await tryAll(attacker, statements, before)
  return statements.length
}

const firing = [
  'before insert or update or delete on evil.trap for each row',
  'after insert or update or delete on evil.trap for each row',
  'after insert or update or delete on evil.trap for each statement',
  'after insert on evil.trap referencing new table as inserted for each statement',
  'after delete on evil.trap referencing old table as deleted for each statement',
]

/** Argument lists of triggers: nothing, all columns, each column alone. */
const argumentLists = (columns: string[]) => [
  '',
  `'user-{id}'`,
  `'user-{id}', 'o.{op}'`,
  ...columns.map(column => `'user-{${column}}', 't-{${column}}', '${column}'`),
]

/** Every trigger function of the schema, on a table with a column of every kind; `writer` writes the rows. */
export const triggerEverything = async (
  db: TestDatabase,
  attacker: Login,
  writer: Pick<Login, 'sql'>,
  before = '',
  only = '%',
) => {
  const functions = await db.sql<{ name: string }[]>`
    select proname as name from pg_proc
    where pronamespace = 'kairan'::regnamespace and prorettype = 'trigger'::regtype and proname like ${only}`
  const columns = await db.sql<{ name: string }[]>`
    select attname as name from pg_attribute where attrelid = 'evil.trap'::regclass and attnum > 0`
  let fired = 0
  for (const { name } of functions) {
    for (const when of firing) {
      for (const list of argumentLists(columns.map(column => column.name))) {
        const made = await tryAll(attacker, [
          `create trigger trap ${when} execute function kairan.${name}(${list})`,
        ])
        if (made === 0) continue
        fired += await fire(writer, before)
        await attacker.sql.unsafe('drop trigger trap on evil.trap')
      }
    }
  }
  return fired
}

const rows = `
  insert into evil.trap values (1, 'x', '{x,null}', row(1, 'x', 'a'), array[row(1, 'x', 'a')::evil.pair], '[1,2)', '{[1,2)}',
    'a', 'x', row(1, 'x', 'a'), '{x}', 1, '{1}', row(1, 'x', 'a', 2), 'a', '{}', 'x', 'x', 'y');
  update evil.trap set id = 2;
  delete from evil.trap`

/** Writes rows, and one for itself when a whole one is refused. Returns how many statements went through. */
const fire = async (writer: Pick<Login, 'sql'>, before: string) => {
  let done = 0
  for (const statement of [
    rows,
    `insert into evil.trap (id, bait, "text") values (3, 'x', 'a'); delete from evil.trap`,
  ]) {
    try {
      await writer.sql.begin(async sql => {
        if (before) await sql.unsafe(before)
        await sql.unsafe(statement)
      })
      done++
    } catch {
      // Refused, which is an answer, too.
    }
  }
  return done
}
