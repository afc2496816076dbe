import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chmod, chown, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '../../src/postgres/connect.ts'
import { type Cluster, cluster } from '../support/cluster.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { run } from '../support/program.ts'

let folder = ''
let server: Cluster

/** A server with a certificate for `db.test`, of an authority that only `ca.crt` knows. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kairan-tls-'))
  await chmod(folder, 0o755)
  const openssl = (...args: string[]) => run(['openssl', ...args], { cwd: folder })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  await openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=CA')
  await openssl('req', ...key, '-keyout', 'db.key', '-out', 'db.csr', '-subj', '/CN=db.test')
  await Bun.write(join(folder, 'ext'), 'subjectAltName=DNS:db.test')
  await openssl(
    ...['x509', '-req', '-in', 'db.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-out', 'db.crt'],
    ...['-CAcreateserial', '-extfile', 'ext'],
  )
  server = await cluster()
  const owner = await stat(server.data)
  await chown(join(folder, 'db.key'), owner.uid, owner.gid)
  const sql = connect(server.url, { max: 1, name: 'test' })
  await sql.unsafe(`alter system set ssl_cert_file = '${join(folder, 'db.crt')}'`)
  await sql.unsafe(`alter system set ssl_key_file = '${join(folder, 'db.key')}'`)
  await sql.unsafe('alter system set ssl = on')
  await sql`select pg_reload_conf()`
  await sql.end()
  // The server reads its settings a moment later.
  await eventually(() => isEncrypted('sslmode=prefer'))
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

/** Whether the session is encrypted; rejects when there is none. */
const isEncrypted = async (query: string, url = server.url) => {
  const sql = connect(`${url}?${query}`, { max: 1, name: 'test' })
  try {
    const [row] = await sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`
    return row?.ssl
  } finally {
    await sql.end({ timeout: 0 })
  }
}

test('encrypts, and trusts, as sslmode says', async () => {
  const ca = `sslrootcert=${join(folder, 'ca.crt')}`
  expect(await isEncrypted('sslmode=disable')).toBe(false)
  expect(await isEncrypted('sslmode=prefer')).toBe(true)
  expect(await isEncrypted('sslmode=require')).toBe(true)
  expect(await isEncrypted(`sslmode=verify-ca&${ca}`)).toBe(true)
  expect(await isEncrypted(`sslmode=require&${ca}`)).toBe(true)
  // The name in the certificate is not that of the address.
  await expect(isEncrypted(`sslmode=verify-full&${ca}`)).rejects.toThrow(/127\.0\.0\.1|altname/i)
  const named = server.url.replace('127.0.0.1', 'db.test')
  expect(await isEncrypted(`sslmode=verify-full&hostaddr=127.0.0.1&${ca}`, named)).toBe(true)
  for (const mode of ['verify-ca', 'verify-full']) {
    await expect(isEncrypted(`sslmode=${mode}&hostaddr=127.0.0.1`, named)).rejects.toThrow(
      /certificate/,
    )
  }
})

test('says that a server has no TLS where it has to', async () => {
  await using db = await database()
  expect(await isEncrypted('sslmode=prefer', db.url)).toBe(false)
  await expect(isEncrypted('sslmode=require', db.url)).rejects.toThrow('does not speak TLS')
})
