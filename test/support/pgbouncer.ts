import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from './eventually.ts'
import { freePort, isListening } from './port.ts'

/**
 * Debian's PgBouncer (1.18, which knows no prepared statements) in transaction mode in front of the database of
 * this URL. It is stopped at the end of the scope.
 */
export const pgbouncer = async (url: string, settings: Record<string, string> = {}) => {
  const { hostname, port: serverPort, username, password, pathname } = new URL(url)
  const directory = await mkdtemp(join(tmpdir(), 'kairan-pgbouncer-'))
  const port = await freePort()
  const file = join(directory, 'pgbouncer.ini')
  const users = join(directory, 'users.txt')
  const lines = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'trust',
    auth_file: users,
    pool_mode: 'transaction',
    default_pool_size: 8,
    max_client_conn: 200,
    ...settings,
  }
  await writeFile(users, `"${username}" "${password}"\n`)
  await writeFile(
    file,
    `[databases]\n* = host=${hostname} port=${serverPort}\n[pgbouncer]\n` +
      Object.entries(lines)
        .map(([name, value]) => `${name} = ${value}\n`)
        .join(''),
  )
  await chmod(directory, 0o755)
  const child = Bun.spawn(['/usr/sbin/pgbouncer', '-q', file], {
    // It refuses to run as root.
    ...(process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}),
    stdout: 'ignore',
    stderr: 'inherit',
  })
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error('pgbouncer ended: apt-get install pgbouncer')
    return isListening(port)
  })
  return {
    url: Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(port), pathname }).href,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await child.exited
      await rm(directory, { recursive: true, force: true })
    },
  }
}
