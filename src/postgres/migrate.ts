import { connect, type Sql } from './connect.ts'
import { grantRoles } from './grants.ts'
import tables from './migrations/0001_tables.sql' with { type: 'text' }
import publish from './migrations/0002_publish.sql' with { type: 'text' }
import log from './migrations/0003_log.sql' with { type: 'text' }
import retention from './migrations/0004_retention.sql' with { type: 'text' }
import awake from './migrations/0005_awake.sql' with { type: 'text' }
import tickets from './migrations/0006_tickets.sql' with { type: 'text' }
import publishItems from './migrations/0007_publish_items.sql' with { type: 'text' }
import restored from './migrations/0008_restored.sql' with { type: 'text' }
import presence from './migrations/0009_presence.sql' with { type: 'text' }
import inbox from './migrations/0010_inbox.sql' with { type: 'text' }
import roles from './migrations/0011_roles.sql' with { type: 'text' }
import traceparent from './migrations/0012_traceparent.sql' with { type: 'text' }

/** The migrations, in order. A file that was released never changes: add another one. */
const migrations = [
  { version: 1, name: 'tables', sql: tables },
  { version: 2, name: 'publish', sql: publish },
  { version: 3, name: 'log', sql: log },
  { version: 4, name: 'retention', sql: retention },
  { version: 5, name: 'awake', sql: awake },
  { version: 6, name: 'tickets', sql: tickets },
  { version: 7, name: 'publish_items', sql: publishItems },
  { version: 8, name: 'restored', sql: restored },
  { version: 9, name: 'presence', sql: presence },
  { version: 10, name: 'inbox', sql: inbox },
  { version: 11, name: 'roles', sql: roles },
  { version: 12, name: 'traceparent', sql: traceparent },
]

/**
 * Brings the schema `kairan` and who may do what in it up to date, and returns the names of the
 * migrations that it applied. `onNote` hears what the operator should know. Where there is nothing to
 * apply, a login that may only read `kairan.migrations` will do.
 * Instances that start together wait for each other. A database that is ahead of this program is left
 * alone: its migrations only ever add, so that the older program still works.
 */
export const migrate = async (
  url: string,
  onNote: (note: string) => void = () => undefined,
): Promise<string[]> => {
  const sql = connect(url, { max: 1, name: 'kairan migrate' })
  try {
    const applied: string[] = []
    let done = await appliedVersions(sql)
    for (const migration of migrations) {
      if (done.has(migration.version)) continue
      if (await apply(sql, migration)) applied.push(`${migration.version} ${migration.name}`)
      else done = await appliedVersions(sql)
    }
    if (!isAhead(done)) {
      const note = await grantRoles(sql, lockKey)
      if (note !== null) onNote(note)
    }
    return applied
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === insufficientPrivilege) {
      error.message +=
        '. Run `kairan migrate` with the login that owns the schema kairan. One that only serves needs kairan_service.'
    }
    throw error
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** A newer Kairan may have granted what this one does not know of. */
const isAhead = (done: Set<number>) => Math.max(...done) > (migrations.at(-1)?.version ?? 0)

const appliedVersions = async (sql: Sql) => {
  const [table] = await sql`select to_regclass('kairan.migrations') is not null as there`
  if (!table?.there) return new Set<number>()
  const rows = await sql<{ version: number }[]>`select version from kairan.migrations`
  return new Set(rows.map(({ version }) => version))
}

/**
 * Applies one migration; false when another process was faster. One simple query, so one transaction
 * without a round trip inside: a lost connection leaves nothing half done.
 */
const apply = async (sql: Sql, { version, name, sql: text }: (typeof migrations)[number]) => {
  try {
    await sql.unsafe(`
      begin;
      select pg_advisory_xact_lock(${lockKey});
      do $$ begin
        -- "if not exists" would ask for the right to create one even where it is there.
        if to_regnamespace('kairan') is null then create schema kairan; end if;
      end $$;
      create table if not exists kairan.migrations (
        version int primary key, name text not null, applied_at timestamptz not null default now()
      );
      comment on table kairan.migrations is 'Which changes of this schema have been made.';
      comment on column kairan.migrations.version is 'The number of its file.';
      comment on column kairan.migrations.name is 'What its file is called.';
      comment on column kairan.migrations.applied_at is 'When it was made.';
      insert into kairan.migrations (version, name) values (${version}, '${name}');
      ${text}
      commit;
    `)
    return true
  } catch (error) {
    await sql.unsafe('rollback')
    // Asked, not guessed from the error: a unique violation can come from the migration itself.
    if ((await appliedVersions(sql)).has(version)) return false
    if (error instanceof Error) {
      error.message = `Migration ${version} (${name}) failed, nothing of it is kept: ${error.message}`
    }
    throw error
  }
}

const insufficientPrivilege = '42501'

// "kairan" in ASCII, so that nobody else's advisory lock has it by chance.
const lockKey = 0x6b616972616e
