import { expect, test } from 'bun:test'
import { migrate } from '../../src/postgres/migrate.ts'
import { database } from '../support/database.ts'
import { migrated } from '../support/schema.ts'

const versions = async ({ sql }: Awaited<ReturnType<typeof database>>) =>
  (await sql`select version || ' ' || name as applied from kairan.migrations order by version`).map(
    ({ applied }) => applied,
  )

test('applies each migration once, and says which', async () => {
  await using db = await database()
  const applied = await migrate(db.url)
  expect(applied).not.toBeEmpty()
  expect(applied).toEqual(await versions(db))
  expect(await migrate(db.url)).toEqual([])
})

test('instances that start together migrate once, and all go on', async () => {
  await using db = await database()
  const applied = await Promise.all(Array.from({ length: 5 }, () => migrate(db.url)))
  expect(applied.flat().toSorted()).toEqual((await versions(db)).toSorted())
})

test('a migration that fails leaves nothing half done, and says which one and why', async () => {
  await using db = await database()
  await db.sql.unsafe('create schema kairan; create table kairan.roles (other int)')
  await expect(migrate(db.url)).rejects.toMatchObject({
    code: '42P07',
    message: 'Migration 1 (tables) failed, nothing of it is kept: relation "roles" already exists',
  })
  expect(await tables(db)).toEqual(['roles'])

  await db.sql`drop table kairan.roles`
  expect(await migrate(db.url)).toEqual(await versions(db))
})

test('keeps what was applied before the one that fails, and goes on from there', async () => {
  await using db = await database()
  await db.sql.unsafe(`
    create schema kairan;
    create function kairan.fan_out() returns int language sql as 'select 1'`)
  await expect(migrate(db.url)).rejects.toThrow('Migration 2 (publish) failed')
  expect(await versions(db)).toEqual(['1 tables'])
  const [found] = await db.sql`select to_regproc('kairan.is_channel') as is_channel`
  expect(found?.is_channel).toBeNull()

  await db.sql`drop function kairan.fan_out`
  expect(['1 tables', ...(await migrate(db.url))]).toEqual(await versions(db))
})

test('does not take a unique violation of a migration for that of another instance', async () => {
  await using db = await database()
  await db.sql.unsafe(`
    create function refuse() returns event_trigger language plpgsql as $$
    begin
      if exists (select from pg_event_trigger_ddl_commands() where object_identity ~ 'kairan.deliveries') then
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
  await using db = await database()
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
  await db.sql`comment on table kairan.deliveries is 'from the future'`
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
