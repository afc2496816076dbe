import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import postgres from 'postgres'
import { exists, type Home, handOver, makeHome } from './embedded-home.ts'

export type EmbeddedPostgres = {
  /** For any program on this machine. */
  url: string
  /** Stops the server, and resolves when it is gone. */
  stop(): Promise<void>
}

/** How to reach the server. Kept between runs, readable for its owner only. */
type Access = { port: number; password: string; startedBy: number }

// Not "kairan": a schema of the user's name would be the first in its search_path.
const user = 'postgres'
const database = 'kairan'

/**
 * Starts the Postgres that `dev` and the tests use when there is none: real server binaries, on a free
 * port of 127.0.0.1, with its data, port and password kept in `directory`. `durable: false` trades
 * surviving a power cut for speed. A server that was left running by a process which was killed is
 * stopped first; one whose process still runs is an error. Rejects with the server's last words.
 */
export const startEmbedded = async (options: {
  directory: string
  durable?: boolean
  settings?: Record<string, string>
}): Promise<EmbeddedPostgres> => {
  const home = await makeHome(options.directory)
  const kept = await readAccess(options.directory)
  await stopOrphan(home, kept)
  const access = {
    port: await freePort(kept?.port),
    password: kept?.password ?? randomBytes(24).toString('base64url'),
    startedBy: process.pid,
  }
  if (!(await exists(join(home.data, 'PG_VERSION'))))
    await initialize(home, access.password, options.durable === false)
  await writeFile(accessFile(options.directory), JSON.stringify(access), { mode: 0o600 })

  const server = await startServer(home, access.port, {
    ...(options.durable === false ? fastSettings : {}),
    ...options.settings,
  })
  // The last chance to leave nothing behind: stop() may not have been called.
  const kill = () => void server.kill('SIGINT')
  process.once('exit', kill)
  let stopped: Promise<void> | null = null
  const stop = () => {
    stopped ??= end(server).then(() => void process.off('exit', kill))
    return stopped
  }
  try {
    await createDatabase(home, server, access)
  } catch (error) {
    await stop()
    throw error
  }
  return { url: urlOf(access, database), stop }
}

const fastSettings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

const urlOf = ({ port, password }: Access, name: string) =>
  `postgres://${user}:${password}@127.0.0.1:${port}/${name}`

const accessFile = (directory: string) => join(directory, 'postgres.json')

const readAccess = async (directory: string): Promise<Access | null> => {
  const file = accessFile(directory)
  return (await exists(file)) ? JSON.parse(await readFile(file, 'utf8')) : null
}

/** initdb works beside the data's place and is moved there, so one that was interrupted does not count. */
const initialize = async (
  { path, binaries, data, owner }: Home,
  password: string,
  fast: boolean,
) => {
  const fresh = `${data}.new`
  const passwordFile = join(path, 'password')
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh, { mode: 0o700 })
  await writeFile(passwordFile, password, { mode: 0o600 })
  await handOver(fresh, owner)
  await handOver(passwordFile, owner)
  const initdb = spawn(
    join(binaries, 'bin/initdb'),
    [
      ...['--pgdata', fresh, '--username', user, '--pwfile', passwordFile],
      ...['--auth', 'scram-sha-256', '--encoding', 'UTF8'],
      ...['--locale', 'C', '--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8'],
      ...(fast ? ['--no-sync'] : []),
    ],
    { ...owner, cwd: path, env: environment },
  )
  let output = ''
  for (const stream of [initdb.stdout, initdb.stderr]) {
    stream.on('data', bytes => {
      output += bytes
    })
  }
  const [code] = await Promise.race([once(initdb, 'close'), once(initdb, 'error')])
  await rm(passwordFile, { force: true })
  if (code !== 0)
    throw new Error(`initdb could not make the database in ${data}: ${code}\n${output}`)
  await rename(fresh, data)
}

/** Messages in English, so that the log can be searched; nothing else of our environment. */
const environment = { LC_ALL: 'C', TZ: 'UTC' }

const startServer = async (home: Home, port: number, settings: Record<string, string>) => {
  const log = await open(logFile(home), 'w')
  const all: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...settings,
  }
  try {
    // A session of its own: Ctrl-C in the terminal would stop it before the service has drained.
    return spawn(
      join(home.binaries, 'bin/postgres'),
      [
        '-D',
        home.data,
        ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      {
        ...home.owner,
        cwd: home.path,
        env: environment,
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
      },
    )
  } finally {
    await log.close()
  }
}

const logFile = ({ path }: Home) => join(path, 'postgres.log')

/** Waits until the server answers, and makes the database if it is not there. */
const createDatabase = async (home: Home, server: ChildProcess, access: Access) => {
  const sql = postgres(urlOf(access, 'postgres'), {
    max: 1,
    connect_timeout: 5,
    onnotice: () => undefined,
  })
  const deadline = Date.now() + startLimitMs
  try {
    while (!(await answers(sql))) {
      if (server.exitCode !== null || server.signalCode !== null || Date.now() > deadline) {
        throw new Error(await lastWords(home))
      }
      await Bun.sleep(20)
    }
    const [found] = await sql`select from pg_database where datname = ${database}`
    if (!found) await sql`create database ${sql(database)}`
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** Recovering after a crash takes a while, too. */
const startLimitMs = 60_000

const answers = async (sql: postgres.Sql) => {
  try {
    await sql`select 1`
    return true
  } catch (error) {
    // It answers, but not to us: waiting longer would not help.
    if (error instanceof postgres.PostgresError && error.code === '28P01') throw error
    return false
  }
}

const lastWords = async (home: Home) => {
  const log = await readFile(logFile(home), 'utf8')
  const lines = log.trimEnd().split('\n').slice(-10).join('\n')
  return (
    `The Postgres in ${home.data} did not start. Its last words:\n${lines}\n` +
    `Mend that, remove ${home.data} to begin anew, or set DATABASE_URL to another Postgres.`
  )
}

/** Fast shutdown; when that takes too long, the immediate one, from which the next start recovers. */
const end = async (server: ChildProcess) => {
  if (server.exitCode !== null || server.signalCode !== null) return
  const gone = once(server, 'exit')
  server.kill('SIGINT')
  const timer = setTimeout(() => server.kill('SIGQUIT'), 10_000)
  await gone
  clearTimeout(timer)
}

/** Stops the server that a process which was killed has left running. */
const stopOrphan = async ({ data }: Home, kept: Access | null) => {
  const pid = await runningServer(data)
  if (pid === null) return
  if (kept && kept.startedBy !== process.pid && isRunning(kept.startedBy)) {
    throw new Error(
      `Process ${kept.startedBy} uses the Postgres in ${data} already. End it first, ` +
        'or set DATABASE_URL to use its Postgres, or another.',
    )
  }
  process.kill(pid, 'SIGINT')
  const deadline = Date.now() + startLimitMs
  while (isRunning(pid)) {
    if (Date.now() > deadline) throw new Error(`Postgres, process ${pid}, does not stop. End it.`)
    await Bun.sleep(20)
  }
}

/** The process that serves this data, by its own note of it, if it is still that process. */
const runningServer = async (data: string) => {
  const note = join(data, 'postmaster.pid')
  if (!(await exists(note))) return null
  const pid = Number((await readFile(note, 'utf8')).split('\n')[0])
  if (!Number.isSafeInteger(pid) || !isRunning(pid)) return null
  // After a reboot the number may be another program's. Where there is no /proc, Postgres checks it.
  const commandLine = `/proc/${pid}/cmdline`
  const isServer =
    !(await exists(commandLine)) || (await readFile(commandLine, 'utf8')).includes(data)
  return isServer ? pid : null
}

const isRunning = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // It is there, but somebody else's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** The port of last time, so that what was written down stays true; another when it is taken. */
const freePort = async (kept: number | undefined) => {
  for (const port of [kept, 0]) {
    if (port === undefined) continue
    const server = createServer()
    const listening = once(server.listen(port, '127.0.0.1'), 'listening').catch(() => null)
    if ((await listening) === null) continue
    const address = server.address()
    server.close()
    await once(server, 'close')
    if (typeof address === 'object' && address) return address.port
  }
  throw new Error('There is no free port on 127.0.0.1 for Postgres')
}
