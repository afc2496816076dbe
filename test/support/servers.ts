import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { eventually } from './eventually.ts'
import { freePort } from './port.ts'

/** A Postgres that a test may stop, copy and promote. */
export type Server = {
  url: string
  port: number
  /** A client for what the test itself asks. It outlives restarts. */
  sql: postgres.Sql
  start(): Promise<void>
  stop(mode?: 'fast' | 'immediate'): Promise<void>
  /** Copies it into a standby that follows it. */
  standby(): Promise<Server>
  /** Makes a standby a primary. */
  promote(): Promise<void>
  /** A standby hears nothing of its primary any more, or hears it again. */
  follow(follows: boolean): Promise<void>
  /** What pg_dump prints of the database, with the roles, which pg_dumpall prints. */
  dump(): Promise<string>
  /** Makes the database anew from what pg_dump has printed. */
  restore(dumped: string): Promise<void>
}

export type Servers = AsyncDisposable & {
  create(settings?: Record<string, string>): Promise<Server>
}

/** The newest Postgres of Debian with all its programs; null where there is none. */
export const debianBinaries = async (): Promise<string | null> => {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [])
  for (const version of versions.toSorted((a, b) => Number(b) - Number(a))) {
    const binaries = join('/usr/lib/postgresql', version, 'bin')
    if (await Bun.file(join(binaries, 'pg_basebackup')).exists()) return binaries
  }
  return null
}

/** Servers on free ports of 127.0.0.1, removed at the end of the scope. */
export const createServers = async (binaries: string): Promise<Servers> => {
  const folder = await mkdtemp(join(tmpdir(), 'kairan-servers-'))
  await chmod(folder, 0o755)
  // Postgres does not run as root.
  const owner = process.getuid?.() === 0 ? await postgresUser() : null
  const made: { remove(): Promise<void> }[] = []

  const run = async (program: string, args: string[], input?: string) => {
    const child = spawn(join(binaries, program), args, {
      ...{ ...owner, cwd: folder, env: { LC_ALL: 'C', TZ: 'UTC' } },
    })
    child.stdin.on('error', () => undefined).end(input)
    const [printed, complaint] = await Promise.all([read(child.stdout), read(child.stderr)])
    if (child.exitCode === null) await once(child, 'exit')
    if (child.exitCode !== 0) throw new Error(`${program}: ${complaint}`)
    return printed
  }

  if (owner) await chown(folder, owner.uid, owner.gid)
  const empty = ['-U', 'kairan', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N']

  const manage = async (data: string, settings: Record<string, string>): Promise<Server> => {
    const port = await freePort()
    const url = `postgres://kairan@127.0.0.1:${port}/kairan`
    const target = ['-h', '127.0.0.1', '-p', String(port), '-U', 'kairan']
    const quick = { max: 3, onnotice: () => undefined, backoff: () => 0.05 }
    const sql = postgres(url, quick)
    const inPostgres = async <T>(ask: (sql: postgres.Sql) => Promise<T>) => {
      const other = postgres(url.replace(/kairan$/, 'postgres'), { ...quick, max: 1 })
      try {
        return await ask(other)
      } finally {
        await other.end({ timeout: 1 })
      }
    }
    let child: ChildProcess | null = null

    const server: Server = {
      url,
      port,
      sql,
      async start() {
        const options = Object.entries({ ...always, ...settings, port: String(port) })
        child = spawn(
          join(binaries, 'postgres'),
          ['-D', data, ...options.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
          { ...owner, cwd: folder, env: { LC_ALL: 'C', TZ: 'UTC' }, stdio: 'ignore' },
        )
        await eventually(() => inPostgres(other => other`select 1`).catch(() => null), 60_000)
      },
      async stop(mode = 'immediate') {
        if (child?.exitCode !== null || child.signalCode !== null) return
        const gone = once(child, 'exit')
        child.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
        await gone
      },
      async standby() {
        const copy = join(folder, crypto.randomUUID())
        await run('pg_basebackup', ['-D', copy, '-R', '-X', 'stream', '-c', 'fast', ...target])
        const standby = await manage(copy, settings)
        await standby.start()
        return standby
      },
      async promote() {
        await sql`select pg_promote(true)`
      },
      async follow(follows) {
        await sql.unsafe(
          follows
            ? 'alter system reset primary_conninfo'
            : `alter system set primary_conninfo = ''`,
        )
        await sql`select pg_reload_conf()`
        const isThere = follows ? 1 : 0
        await eventually(async () => {
          const [row] = await sql`select count(*)::int as n from pg_stat_wal_receiver`
          return row?.n === isThere
        })
      },
      async dump() {
        const roles = await run('pg_dumpall', [...target, '-l', 'postgres', '--roles-only'])
        return (
          roles.replaceAll(/^CREATE ROLE .*;$/gm, ifMissing) +
          (await run('pg_dump', [...target, 'kairan']))
        )
      },
      async restore(dumped) {
        await inPostgres(async other => {
          await other.unsafe('drop database if exists kairan with (force)')
          await other.unsafe('create database kairan')
        })
        await run('psql', [...target, '-q', '-v', 'ON_ERROR_STOP=1', 'kairan'], dumped)
      },
    }
    made.push({
      async remove() {
        await sql.end({ timeout: 0 })
        await server.stop()
      },
    })
    return server
  }

  return {
    async create(settings = {}) {
      const data = join(folder, crypto.randomUUID())
      await run('initdb', ['-D', data, ...empty])
      const server = await manage(data, settings)
      await server.start()
      await server.restore('')
      return server
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(made.map(({ remove }) => remove()))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const ifMissing = (statement: string) =>
  `do $$ begin ${statement} exception when duplicate_object then null; end $$;`

const always = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'off',
  max_connections: '100',
  wal_level: 'logical',
  max_wal_senders: '5',
  hot_standby_feedback: 'on',
}

const read = async (stream: NodeJS.ReadableStream) => {
  let text = ''
  for await (const bytes of stream) text += bytes
  return text
}

const postgresUser = async () => {
  const [, uid, gid] =
    /^postgres:[^:]*:(\d+):(\d+):/m.exec(await readFile('/etc/passwd', 'utf8')) ?? []
  if (!uid || !gid) throw new Error('There is no user postgres to run Postgres as')
  return { uid: Number(uid), gid: Number(gid) }
}
