import { connect, type Sql } from './connect.ts'
import { grantRoles } from './grants.ts'
import audit from './schema/audit.sql' with { type: 'text' }
import followUps from './schema/follow-ups.sql' with { type: 'text' }
import inbox from './schema/inbox.sql' with { type: 'text' }
import inboxMarks from './schema/inbox-marks.sql' with { type: 'text' }
import inboxSeqs from './schema/inbox-seqs.sql' with { type: 'text' }
import lease from './schema/lease.sql' with { type: 'text' }
import log from './schema/log.sql' with { type: 'text' }
import members from './schema/members.sql' with { type: 'text' }
import mutes from './schema/mutes.sql' with { type: 'text' }
import presence from './schema/presence.sql' with { type: 'text' }
import publish from './schema/publish.sql' with { type: 'text' }
import publishRow from './schema/publish-row.sql' with { type: 'text' }
import receipts from './schema/receipts.sql' with { type: 'text' }
import retention from './schema/retention.sql' with { type: 'text' }
import roles from './schema/roles.sql' with { type: 'text' }
import scheduled from './schema/scheduled.sql' with { type: 'text' }
import tables from './schema/tables.sql' with { type: 'text' }
import tickets from './schema/tickets.sql' with { type: 'text' }
import users from './schema/users.sql' with { type: 'text' }
import withdraw from './schema/withdraw.sql' with { type: 'text' }

/** The schema, each file after those whose tables and functions it uses. */
const schema = [
  tables,
  publish,
  publishRow,
  scheduled,
  log,
  lease,
  retention,
  tickets,
  users,
  withdraw,
  roles,
  members,
  mutes,
  presence,
  inboxSeqs,
  inbox,
  inboxMarks,
  receipts,
  followUps,
  audit,
].join('\n')

type Migration = { version: number; name: string; sql: string }

/**
 * The migrations, in order. Until the first release there is one, and it may change; one that was
 * released never changes: add another one.
 */
export const migrations: Migration[] = [{ version: 1, name: 'schema', sql: schema }]

/**
 * Brings the schema `kairan` and who may do what in it up to date, and returns the names of the
 * migrations that it applied. `onNote` hears what the operator should know. Where there is nothing to
 * apply, a login that may only read `kairan.migrations` will do.
 * Instances that start together wait for each other. A lock that others hold for longer than `lockMs` makes it
 * reject, with who holds it. A database that is ahead of this program is left
 * alone: its migrations only ever add, so that the older program still works. Rejects when the schema was
 * made by a version from before the first release, which has other migrations.
 */
export const migrate = async (
  url: string,
  onNote: (note: string) => void = () => undefined,
  list: Migration[] = migrations,
  lockMs = 30_000,
): Promise<string[]> => {
  const sql = connect(url, { max: 1, name: 'kairan migrate' })
  const begin = beginWith(lockMs)
  try {
    await requireSuitable(sql)
    const applied: string[] = []
    let done = await appliedVersions(sql, begin, list)
    for (const migration of list) {
      if (done.has(migration.version)) continue
      if (await apply(sql, begin, list, migration))
        applied.push(`${migration.version} ${migration.name}`)
      else done = await appliedVersions(sql, begin, list)
    }
    if (!isAhead(done, list)) {
      const note = await grantRoles(sql, begin)
      if (note !== null) onNote(note)
    }
    return applied
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === insufficientPrivilege) {
      error.message +=
        '. Run `kairan migrate` with the login that owns the schema kairan. One that only serves needs kairan_service.'
    }
    if (error instanceof Error && 'code' in error && error.code === lockNotAvailable) {
      await sql.unsafe('rollback')
      error.message += `. Another transaction holds the lock: ${await holders(sql)}.`
    }
    throw error
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/**
 * Begins a transaction of whatever runs here. A database's own settings may be others; and where others may
 * create functions and operators in a schema of the search_path, those would run with this login's rights.
 * For this transaction only: there may be a pooler in between.
 */
const beginWith = (lockMs: number) => `
  begin isolation level read committed;
  set local search_path = pg_catalog, pg_temp;
  set local standard_conforming_strings = on;
  set local lock_timeout = ${lockMs};
`

/** Who has locked something of the schema, the oldest transaction first. */
const holders = async (sql: Sql) => {
  const rows = await sql<{ who: string }[]>`
    select format('process %s of %s (%s), since %s', a.pid, a.usename, a.application_name, min(a.xact_start)) as who
    from pg_catalog.pg_locks l
    join pg_catalog.pg_stat_activity a using (pid)
    join pg_catalog.pg_class c on c.oid = l.relation
    where l.granted and a.pid <> pg_catalog.pg_backend_pid() and c.relnamespace = pg_catalog.to_regnamespace('kairan')
    group by a.pid, a.usename, a.application_name order by min(a.xact_start) limit 3`
  return rows.map(({ who }) => who).join(', ') || 'it has ended by now'
}

const requireSuitable = async (sql: Sql) => {
  const [server] = await sql<Server[]>`
    select current_database() as name, current_setting('server_encoding') as encoding,
      current_setting('server_version') as version, current_setting('server_version_num')::int as number`
  const reason = server ? unsuitable(server) : null
  if (reason !== null) throw new Error(reason)
}

type Server = { name: string; encoding: string; version: string; number: number }

/** Why this database can't have the schema kairan, and what to do; null when it can. */
export const unsuitable = ({ name, encoding, version, number }: Server): string | null => {
  if (number < leastVersion) return `This is Postgres ${version}, and Kairan needs 15 or later.`
  // In any other encoding there are payloads that can be stored and not be read, which would stop the log.
  return encoding === 'UTF8'
    ? null
    : `The database ${name} is encoded in ${encoding}, and Kairan needs UTF8: ` +
        "create database … encoding 'UTF8' template template0."
}

const leastVersion = 150_000

/** A newer Kairan may have granted what this one does not know of. */
const isAhead = (done: Set<number>, list: Migration[]) =>
  Math.max(...done) > (list.at(-1)?.version ?? 0)

const appliedVersions = async (sql: Sql, begin: string, list: Migration[]) => {
  const [table] = await sql`select pg_catalog.to_regclass('kairan.migrations') is not null as there`
  if (!table?.there) return new Set<number>()
  // As JSON: the oldest have no digest.
  const results = await sql.unsafe<{ version: number; name: string; digest: string | null }[][]>(`
    ${begin}
    select version, name, to_jsonb(m) ->> 'digest' as digest from kairan.migrations m order by version;
    commit`)
  const rows = results.flat()
  const other = rows.find(({ version, digest }) =>
    list.some(known => known.version === version && digestOf(known) !== digest),
  )
  if (other) throw new Error(otherSchema(other))
  return new Set(rows.map(({ version }) => version))
}

/** What tells a migration from one of another version of Kairan that has its number. */
const digestOf = ({ sql }: Migration) =>
  // A checkout on Windows may have other line ends.
  new Bun.CryptoHasher('sha256').update(sql.replaceAll('\r\n', '\n')).digest('hex').slice(0, 16)

const otherSchema = ({ version, name }: { version: number; name: string }) =>
  `The schema kairan in this database was made by an unreleased version of Kairan, whose migration ${version} ` +
  `(${name}) is not the one of this version. It can't be brought up to date. Use a new database, or remove the ` +
  'schema, with all notifications in it and the triggers that use it, and start again: drop schema kairan cascade; ' +
  '(The database of `bun run dev` is in the folder .kairan, which can be removed.)'

/**
 * Applies one migration; false when another process was faster. One simple query, so one transaction
 * without a round trip inside: a lost connection leaves nothing half done.
 */
const apply = async (sql: Sql, begin: string, list: Migration[], migration: Migration) => {
  const { version, name, sql: text } = migration
  try {
    await sql.unsafe(`
      ${begin}
      do $$ begin
        -- "if not exists" would ask for the right to create one even where it is there.
        if to_regnamespace('kairan') is null then create schema kairan; end if;
      end $$;
      create table if not exists kairan.migrations (
        version int primary key, name text not null, digest text,
        applied_at timestamptz not null default now()
      );
      comment on table kairan.migrations is 'Which changes of this schema have been made.';
      comment on column kairan.migrations.version is 'Its number.';
      comment on column kairan.migrations.name is 'Its name.';
      comment on column kairan.migrations.digest is 'Of its text: the same number may be another migration in an unreleased version.';
      comment on column kairan.migrations.applied_at is 'When it was made.';
      -- Not an advisory lock, which any login could hold: this one asks for a right.
      lock table kairan.migrations in share row exclusive mode;
      insert into kairan.migrations (version, name, digest)
        values (${version}, '${name}', '${digestOf(migration)}');
      ${text}
      commit;
    `)
    return true
  } catch (error) {
    await sql.unsafe('rollback')
    // Asked, not guessed from the error: a unique violation can come from the migration itself.
    if ((await appliedVersions(sql, begin, list)).has(version)) return false
    if (error instanceof Error) {
      error.message = `Migration ${version} (${name}) failed, nothing of it is kept: ${error.message}`
    }
    throw error
  }
}

const insufficientPrivilege = '42501'
const lockNotAvailable = '55P03'
