import { Database, SQLiteError } from 'bun:sqlite'
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Access, accessFile, freePort, readAccess, urlOf, writeAccess } from './access.ts'
import { exists, type Home, makeHome } from './home.ts'
import { endOrphan } from './orphan.ts'
import { end, initialize, startServer } from './server.ts'

export type EmbeddedPostgres = {
  /** The URL, for any program on this machine. */
  url: string
  /** Stops the server, and resolves when it is gone. */
  stop(): Promise<void>
}

/**
 * Starts the Postgres that `dev` and the tests use when there is no other: real server binaries, on a free port of
 * 127.0.0.1. Data, port and password are kept in `directory`. `durable: false` is faster; a crash then loses the last
 * commits, and a crash of the machine perhaps all data. A server that was left running by a killed process is stopped
 * first. While one start uses `directory`, other starts reject. Rejects with the end of the server's log and with what
 * to do.
 */
export const startEmbedded = async ({
  directory,
  durable = true,
  settings = {},
}: {
  directory: string
  durable?: boolean
  settings?: Record<string, string>
}): Promise<EmbeddedPostgres> => {
  await mkdir(directory, { recursive: true })
  const release = await claim(directory)
  try {
    const home = await makeHome(directory)
    const access = await prepare(directory, home, durable)
    const server = await startServer(home, access, {
      listen_addresses: '127.0.0.1',
      port: String(access.port),
      unix_socket_directories: '',
      timezone: 'UTC',
      log_timezone: 'UTC',
      ...(durable ? {} : fastSettings),
      ...settings,
    })
    // Also when the server has crashed: this process may start it again.
    server.once('exit', release)
    let stopped: Promise<void> | null = null
    const stop = () => {
      stopped ??= end(server)
      return stopped
    }
    return { url: urlOf(access), stop }
  } catch (error) {
    release()
    throw error
  }
}

const fastSettings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

/**
 * Claims the directory for one start, and resolves with a function that releases it. A file with a process id would
 * outlive a SIGKILL, and two starts could both take it for stale. A lock of SQLite is a lock of the operating system:
 * it ends with its process, however that ends.
 */
const claim = async (directory: string) => {
  // A start that is ending, or whose server has crashed, releases it in a moment.
  const deadline = Date.now() + 1000
  for (;;) {
    const lock = new Database(join(directory, 'postgres.lock'))
    try {
      lock.run('begin exclusive')
      return () => lock.close()
    } catch (error) {
      lock.close()
      if (!(error instanceof SQLiteError) || error.code !== 'SQLITE_BUSY') throw error
      if (Date.now() > deadline) throw await inUse(directory)
    }
    await Bun.sleep(20)
  }
}

const inUse = async (directory: string) => {
  const { startedBy } = (await readAccess(directory)) ?? {}
  // The first start may not have written it yet.
  const who = startedBy && isRunning(startedBy) ? `Process ${startedBy}` : 'Another start'
  return new Error(
    `${who} uses the Postgres in ${directory} already. End it first, ` +
      'or set DATABASE_URL to use its Postgres, or another.',
  )
}

const isRunning = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // It exists, but belongs to another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** Chooses port and password, and makes the data if there is none. */
const prepare = async (directory: string, home: Home, durable: boolean): Promise<Access> => {
  const kept = await readAccess(directory)
  const hasData = await exists(join(home.data, 'PG_VERSION'))
  if (hasData && !kept) {
    throw new Error(
      `${accessFile(directory)}, which held the password of the Postgres in ${home.data}, is missing ` +
        `or damaged. Bring it back, remove ${home.data} to begin anew, or set DATABASE_URL.`,
    )
  }
  // Before the port is checked: the orphan listens on it.
  await endOrphan(home)
  const access = {
    port: await freePort(kept?.port),
    password: kept?.password ?? randomBytes(24).toString('base64url'),
    startedBy: process.pid,
  }
  // Before the data is made: a kill in between would leave data with an unknown password.
  await writeAccess(directory, access)
  if (!hasData) await initialize(home, access.password, durable)
  return access
}
