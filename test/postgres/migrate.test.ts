import { expect, test } from 'bun:test'
import { migrate, migrations, unsuitable } from '../../src/postgres/migrate.ts'
import { fromSource } from '../support/binary.ts'
import { database } from '../support/database.ts'
import { login } from '../support/logins.ts'
import { migrated } from '../support/schema.ts'
import { secret } from '../support/service.ts'

const versions = async ({ sql }: Awaited<ReturnType<typeof database>>) =>
  (await sql`select version || ' ' || name as applied from kairan.migrations order by version`).map(
    ({ applied }) => applied,
  )

test('applies each migration once, and says which', async () => {
  await using db = await database({ empty: true })
  const applied = await migrate(db.url)
  expect(applied).not.toBeEmpty()
  expect(applied).toEqual(await versions(db))
  expect(await migrate(db.url)).toEqual([])
})

test('instances that start together migrate once, and all go on', async () => {
  await using db = await database({ empty: true })
  const applied = await Promise.all(Array.from({ length: 5 }, () => migrate(db.url)))
  expect(applied.flat().toSorted()).toEqual((await versions(db)).toSorted())
})

test('a migration that fails leaves nothing half done, and says which one and why', async () => {
  await using db = await database({ empty: true })
  await db.sql.unsafe('create schema kairan; create table kairan.roles (other int)')
  await expect(migrate(db.url)).rejects.toMatchObject({
    code: '42P07',
    message: 'Migration 1 (schema) failed, nothing of it is kept: relation "roles" already exists',
  })
  expect(await tables(db)).toEqual(['roles'])

  await db.sql`drop table kairan.roles`
  expect(await migrate(db.url)).toEqual(await versions(db))
})

test('a schema of an unreleased version is refused, with what to do, and left alone', async () => {
  await using old = await database({ empty: true })
  await old.sql.unsafe(`
    create schema kairan;
    create table kairan.migrations (version int primary key, name text not null, applied_at timestamptz);
    insert into kairan.migrations values (1, 'tables'), (2, 'publish')`)
  await using other = await migrated()
  await other.sql`update kairan.migrations set digest = 'of another text'`

  for (const { db, name } of [
    { db: old, name: 'tables' },
    { db: other, name: 'schema' },
  ]) {
    const before = await tables(db)
    for (const command of ['migrate', 'start']) {
      await using child = Bun.spawn([...fromSource, command], {
        env: { DATABASE_URL: db.url, JWT_SECRET: secret, PORT: '0' },
        stdout: 'ignore',
        stderr: 'pipe',
      })
      expect(await child.exited).toBe(1)
      const message = await new Response(child.stderr).text()
      expect(message).toContain(`whose migration 1 (${name}) is not the one of this version`)
      expect(message).toContain('drop schema kairan cascade;')
    }
    expect(await tables(db)).toEqual(before)
  }

  await old.sql.unsafe('drop schema kairan cascade')
  expect(await migrate(old.url)).toEqual(await versions(old))
})

test('keeps what was applied before the one that fails, and goes on from there', async () => {
  await using db = await database({ empty: true })
  const sql = 'create table kairan.more (id int); comment on table kairan.more is null;'
  const list = [...migrations, { version: 2, name: 'more', sql }]
  await migrate(db.url)
  await db.sql`create table kairan.more (other int)`
  await expect(migrate(db.url, undefined, list)).rejects.toThrow('Migration 2 (more) failed')
  expect(await versions(db)).toEqual(['1 schema'])

  await db.sql`drop table kairan.more`
  expect(await migrate(db.url, undefined, list)).toEqual(['2 more'])
  expect(await versions(db)).toEqual(['1 schema', '2 more'])
})

test('does not take a unique violation of a migration for that of another instance', async () => {
  await using db = await database({ empty: true })
  await db.sql.unsafe(`
    create function refuse() returns event_trigger language plpgsql as $$
    begin
      if exists (select from pg_event_trigger_ddl_commands() where object_identity ~ 'kairan.numbered') then
        raise unique_violation using message = 'two of a kind';
      end if;
    end $$;
    create event trigger refuse on ddl_command_end when tag in ('CREATE TABLE')
      execute function refuse()`)
  await expect(migrate(db.url)).rejects.toMatchObject({
    code: '23505',
    message: expect.stringContaining('two of a kind'),
  })
  expect(await tables(db)).toEqual([])
})

test('needs no right to create schemas where an administrator has made this one', async () => {
  await using db = await database({ empty: true })
  const role = `kairan_test_${crypto.randomUUID().slice(0, 8)}`
  await db.sql.unsafe(`create role ${role}; create schema kairan authorization ${role}`)
  try {
    const url = Object.assign(new URL(db.url), { search: `?role=${role}` }).toString()
    expect(await migrate(url)).toEqual(await versions(db))
  } finally {
    await db.sql.unsafe(`drop owned by ${role} cascade; drop role ${role}`)
  }
})

test('leaves a database alone that a newer Kairan has migrated', async () => {
  await using db = await migrated()
  await db.sql`insert into kairan.migrations (version, name) values (9999, 'from the future')`
  await db.sql`comment on view kairan.deliveries is 'from the future'`
  await db.sql`grant select on kairan.roles to kairan_reader`
  expect(await migrate(db.url)).toEqual([])
  const [comment] = await db.sql`select obj_description('kairan.deliveries'::regclass) as text`
  expect(comment?.text).toBe('from the future')
  const [grant] = await db.sql`
    select has_table_privilege('kairan_reader', 'kairan.roles', 'select') as there`
  expect(grant?.there).toBe(true)
})

const tables = async ({ sql }: Awaited<ReturnType<typeof database>>) =>
  (
    await sql`select relname from pg_class
      where relnamespace = to_regnamespace('kairan') and relkind = 'r' order by 1`
  ).map(({ relname }) => relname)

test('no lock that a login without rights can take stops a migration', async () => {
  await using db = await database({ empty: true })
  await using stranger = await login(db)
  // Those of the first version, of 64 bits and of two halves.
  const key = 0x6b616972616e
  await stranger.sql.unsafe(`
    select pg_advisory_lock(n) from generate_series(${key - 10}::bigint, ${key + 20}) n`)
  expect(await migrate(db.url)).toEqual(await versions(db))
  expect(await migrate(db.url)).toEqual([])
})

test('says who holds the lock that it has waited for in vain', async () => {
  await using db = await migrated()
  await db.sql
    .begin(async sql => {
      await sql`lock table kairan.migrations`
      await expect(migrate(db.url, undefined, migrations, 200)).rejects.toMatchObject({
        code: '55P03',
        message: expect.stringMatching(/Another transaction holds the lock: process \d+ of /),
      })
      throw new Error('rolled back')
    })
    .catch(() => undefined)
  expect(await migrate(db.url)).toEqual([])
})

test('a server that is too old, and a database that is not UTF8, are refused in words', () => {
  const server = { name: 'shop', encoding: 'UTF8', version: '15.0', number: 150_000 }
  expect(unsuitable(server)).toBe(null)
  expect(unsuitable({ ...server, version: '14.20', number: 140_020 })).toBe(
    'This is Postgres 14.20, and Kairan needs 15 or later.',
  )
  expect(unsuitable({ ...server, encoding: 'LATIN1' })).toContain('needs UTF8')
})
