import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import postgres from 'postgres'
import { type Access, database, urlOf, user } from './access.ts'
import { type Home, handOver } from './home.ts'

/**
 * The server's environment: English messages, so that the log can be searched, and no other variables of this process.
 */
const environment = { LC_ALL: 'C', TZ: 'UTC' }

/** initdb works in another folder, which is renamed when it is complete: an interrupted initdb leaves no data. */
export const initialize = async (home: Home, password: string, durable: boolean) => {
  const { path, binaries, data, owner } = home
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
      ...(durable ? [] : ['--no-sync']),
    ],
    { ...owner, cwd: path, env: environment },
  )
  let output = ''
  for (const stream of [initdb.stdout, initdb.stderr]) {
    stream.on('data', bytes => {
      output += bytes
    })
  }
  try {
    const [code] = await once(initdb, 'close')
    if (code !== 0) throw new Error(`initdb ended with ${code}:\n${output.trim()}`)
  } catch (error) {
    throw didNotStart(home, error)
  } finally {
    await rm(passwordFile, { force: true })
  }
  await rename(fresh, data)
}

/** Resolves with the server's process when it answers and has the database. Otherwise it is ended. */
export const startServer = async (
  home: Home,
  access: Access,
  settings: Record<string, string>,
): Promise<ChildProcess> => {
  const deadline = Date.now() + lingerLimitMs
  for (;;) {
    const server = await launch(home, settings)
    try {
      await createDatabase(server, access)
      return server
    } catch (error) {
      await end(server)
      const words = await lastWords(home)
      // Postgres was killed, and one of its sessions still runs.
      const lingers = words.includes('pre-existing shared memory block')
      if (!lingers || Date.now() > deadline) throw didNotStart(home, error, words)
    }
    await Bun.sleep(100)
  }
}

/** Starts the process. It ends with the current process, unless that is killed. */
const launch = async (home: Home, settings: Record<string, string>) => {
  const log = await open(logFile(home), 'w', 0o600)
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const server = spawn(join(home.binaries, 'bin/postgres'), ['-D', home.data, ...options], {
    ...home.owner,
    cwd: home.path,
    env: environment,
    // In a session of its own: otherwise Ctrl-C in the terminal would stop it before the service has drained.
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  })
  // Ends the server in case stop() was not called.
  const kill = () => void server.kill('SIGINT')
  process.once('exit', kill)
  server.once('exit', () => process.off('exit', kill))
  try {
    await once(server, 'spawn')
  } catch (error) {
    process.off('exit', kill)
    throw didNotStart(home, error)
  } finally {
    await log.close()
  }
  return server
}

const logFile = ({ path }: Home) => join(path, 'postgres.log')

/** Waits until the server answers, and makes the database if it is missing. */
const createDatabase = async (server: ChildProcess, access: Access) => {
  const sql = postgres(urlOf(access, 'postgres'), {
    max: 1,
    connect_timeout: 5,
    // Nothing here is an array, and whoever ends it in between would reject what nobody waits for.
    fetch_types: false,
    onnotice: () => undefined,
  })
  const deadline = Date.now() + startLimitMs
  try {
    while (!(await answers(sql))) {
      if (hasEnded(server)) throw new Error(`it ended (${server.signalCode ?? server.exitCode})`)
      if (Date.now() > deadline) throw new Error(`no answer within ${startLimitMs} ms`)
      await Bun.sleep(20)
    }
    const [found] = await sql`select from pg_database where datname = ${database}`
    if (!found) await sql`create database ${sql(database)}`
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** Long enough for recovery after a crash. */
const startLimitMs = 60_000

/** A session that has lost its server ends after its current statement. */
const lingerLimitMs = 15_000

const answers = async (sql: postgres.Sql) => {
  try {
    await sql`select 1`
    return true
  } catch (error) {
    // It answers, but refuses the password: waiting longer would not help.
    if (error instanceof postgres.PostgresError && error.code === '28P01') throw error
    return false
  }
}

/** The end of the server's log since its start. */
const lastWords = async (home: Home) => {
  const log = await readFile(logFile(home), 'utf8')
  return log.trimEnd().split('\n').slice(-10).join('\n')
}

const didNotStart = ({ data, binaries }: Home, reason: unknown, words = '') => {
  const why = reason instanceof Error ? reason.message : String(reason)
  return new Error(
    `The Postgres in ${data} did not start: ${why}\n${words && `The end of its log:\n${words}\n`}` +
      `Repair that, remove ${data} to start with an empty database (or ${dirname(binaries)}, if the program is broken), ` +
      'or set DATABASE_URL to another Postgres.',
    { cause: reason },
  )
}

/** Fast shutdown. If that takes too long, immediate shutdown, from which the next start recovers. */
export const end = async (server: ChildProcess) => {
  if (hasEnded(server)) return
  const gone = once(server, 'exit')
  server.kill('SIGINT')
  const timer = setTimeout(() => server.kill('SIGQUIT'), 10_000)
  await gone
  clearTimeout(timer)
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess) =>
  exitCode !== null || signalCode !== null
