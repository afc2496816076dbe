/** The servers of a Postgres and how to sign in there, as written in a libpq URL. */
export type PostgresAddress = {
  /** The servers, in the order in which they are tried. */
  servers: PostgresServer[]
  shuffled: boolean
  user: string | undefined
  password: string | undefined
  database: string | undefined
  tls: TlsSettings
  connectSeconds: number | undefined
  keepAliveSeconds: number | undefined
  /** Settings that Postgres gets for each session. */
  session: Record<string, string>
}

/** The certificate is checked against `host`. `connectTo` is the name or address to connect to. */
export type PostgresServer =
  | { host: string; connectTo: string; port: number }
  | { socket: string; port: number }

export type TlsSettings = {
  mode: 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'
  isDirect: boolean
  sendsName: boolean
  /** File names. `system` as the root certificate means the certificates of the system. */
  rootCertificate: string | undefined
  certificate: string | undefined
  key: string | undefined
  keyPassword: string | undefined
  minVersion: string | undefined
  maxVersion: string | undefined
}

/** Says what is wrong with a URL. The message names the part and contains no secret. */
export class PostgresUrlError extends Error {
  override readonly name = 'PostgresUrlError'
}

/**
 * Reads a URL as libpq does ("Connection URIs"): several hosts, a socket's folder as `%2Frun%2Fpostgresql`
 * or `?host=`, parameters. Each parameter of libpq is used or refused by its name. Others are settings for
 * Postgres, which refuses those that it does not know. Throws PostgresUrlError.
 */
export const parsePostgresUrl = (url: string): PostgresAddress => {
  const { userinfo, hosts, database, query } = split(url)
  const given = new Map(query.map(({ name, value }) => [name, value]))
  const take = (name: string) => {
    const value = given.get(name)
    given.delete(name)
    return value === '' ? undefined : value
  }
  const seconds = (name: string) => {
    const value = take(name)
    if (value === undefined) return undefined
    if (!/^-?\d{1,9}$/.test(value)) fail(`${name}="${value}" has to be a whole number.`)
    return Number(value) > 0 ? Number(value) : undefined
  }
  const names = (take('host') ?? hosts.map(({ host }) => host).join(',')).split(',')
  const addresses = take('hostaddr')?.split(',') ?? []
  const ports = (take('port') ?? hosts.map(({ port }) => port).join(',')).split(',')
  const [username, ...rest] = userinfo
  const keepsAlive = take('keepalives') !== '0'
  const keepAliveSeconds = seconds('keepalives_idle')
  const address = {
    servers: toServers(names, addresses, ports),
    shuffled: oneOf(take('load_balance_hosts'), 'load_balance_hosts', ['disable', 'random']) === 1,
    user: take('user') ?? (username || undefined),
    password: take('password') ?? (rest.join(':') || undefined),
    database: take('dbname') ?? (database || undefined),
    tls: toTls(take),
    connectSeconds: seconds('connect_timeout'),
    keepAliveSeconds: keepsAlive ? keepAliveSeconds : 0,
  }
  for (const [name, { accepts, instead }] of refused) {
    const value = take(name)
    if (value !== undefined && !accepts?.test(value)) {
      fail(`it has ${name}, which Kairan does not support: ${instead}.`)
    }
  }
  for (const name of harmless) take(name)
  return { ...address, session: Object.fromEntries(given) }
}

const fail = (problem: string): never => {
  throw new PostgresUrlError(problem)
}

/** As in libpq, an `@` ends user and password only if it comes before the first `/`. */
const split = (url: string) => {
  const [, authority, path = '', query = ''] =
    /^postgres(?:ql)?:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(url) ?? []
  if (authority === undefined) {
    return fail('it is not a URL like postgres://user:password@host:5432/database.')
  }
  const at = authority.indexOf('@')
  const userinfo = at < 0 ? [] : authority.slice(0, at).split(':')
  return {
    userinfo: userinfo.map((text, index) => decode(text, index === 0 ? 'user' : 'password')),
    hosts: authority
      .slice(at + 1)
      .split(/,(?![^[]*\])/)
      .map(toHost),
    database: decode(path, 'database'),
    query: query.split('&').filter(Boolean).map(toParameter),
  }
}

const toHost = (text: string) => {
  const [, address, name, port = ''] = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/s.exec(text) ?? []
  const host = address ?? name
  if (host === undefined) return fail('a host in it is not one. An IPv6 address needs [brackets].')
  return { host: decode(host, 'host'), port: decode(port, 'port') }
}

const toParameter = (text: string) => {
  const [name = '', value, ...more] = text.split('=')
  if (value === undefined || more.length > 0) {
    return fail('a parameter in it is not written as name=value.')
  }
  const known = decode(name, 'query')
  // The name of sslmode in JDBC and postgres.js.
  if (known === 'ssl') return { name: 'sslmode', value: value === 'true' ? 'require' : value }
  return { name: known, value: decode(value, known) }
}

const decode = (text: string, part: string) => {
  if (/%(?![\da-f]{2})|%00/i.test(text)) {
    return fail(`its ${part} has a % that is not followed by two digits: write %25 for a %.`)
  }
  try {
    return decodeURIComponent(text)
  } catch {
    return fail(`its ${part} is not UTF-8 when its % are decoded.`)
  }
}

const toServers = (names: string[], addresses: string[], ports: string[]): PostgresServer[] => {
  const count = Math.max(names.length, addresses.length)
  if (names.length !== count && names.some(Boolean)) fail('it has not as many host as hostaddr.')
  if (addresses.length !== count && addresses.length > 0) {
    fail('it has not as many hostaddr as host.')
  }
  if (ports.length !== count && ports.length > 1) fail('it has not as many ports as hosts.')
  return Array.from({ length: count }, (_, index) => {
    const name = names[index] ?? ''
    const port = toPort(ports[index] ?? ports[0] ?? '')
    const address = addresses[index] || name || 'localhost'
    if (/^[/@]/.test(address)) return { socket: `${address}/.s.PGSQL.${port}`, port }
    return { host: name || address, connectTo: address, port }
  })
}

const toPort = (text: string) => {
  if (text === '') return 5432
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65535) fail('a port in it is not one.')
  return port
}

/** Index of a value among the allowed ones; 0 when there is no value. */
const oneOf = (value: string | undefined, name: string, allowed: readonly string[]) => {
  const index = value === undefined ? 0 : allowed.indexOf(value)
  if (index < 0) fail(`${name}="${value}" has to be one of ${allowed.join(', ')}.`)
  return index
}

const modes = ['prefer', 'disable', 'allow', 'require', 'verify-ca', 'verify-full'] as const

const toTls = (take: (name: string) => string | undefined): TlsSettings => {
  const requires = take('requiressl') === '1'
  const asked = take('sslmode') ?? (requires ? 'require' : undefined)
  const rootCertificate = take('sslrootcert')
  const files = { certificate: take('sslcert'), key: take('sslkey') }
  // libpq prefers TLS when the URL does not say. Kairan then uses none: mostly Postgres is on the same machine.
  const saysNothing = asked === undefined && !rootCertificate && !files.certificate
  const mode = saysNothing ? 'disable' : (modes[oneOf(asked, 'sslmode', modes)] ?? 'prefer')
  if (rootCertificate === 'system' && asked !== undefined && mode !== 'verify-full') {
    fail(`sslrootcert=system goes with sslmode=verify-full, not with sslmode=${mode}.`)
  }
  const isDirect = oneOf(take('sslnegotiation'), 'sslnegotiation', ['postgres', 'direct']) === 1
  if (isDirect && modes.indexOf(mode) < modes.indexOf('require')) {
    fail(`sslnegotiation=direct goes with sslmode=require or stricter, not with sslmode=${mode}.`)
  }
  return {
    mode: rootCertificate === 'system' ? 'verify-full' : mode,
    isDirect,
    sendsName: take('sslsni') !== '0',
    rootCertificate,
    ...files,
    keyPassword: take('sslpassword'),
    minVersion: toVersion(take('ssl_min_protocol_version'), 'ssl_min_protocol_version'),
    maxVersion: toVersion(take('ssl_max_protocol_version'), 'ssl_max_protocol_version'),
  }
}

const versions = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']

const toVersion = (value: string | undefined, name: string) =>
  value === undefined ? undefined : versions[oneOf(value, name, versions)]

/** Parameters of libpq that Kairan does not support, except for the values that it meets anyway. */
const refused = new Map<string, { accepts?: RegExp; instead: string }>([
  ['channel_binding', { accepts: /^(disable|prefer)$/, instead: 'use sslmode=verify-full' }],
  ['gssencmode', { accepts: /^(disable|prefer)$/, instead: 'use sslmode' }],
  ['client_encoding', { accepts: /^(auto|utf-?8|unicode)$/i, instead: 'it always is UTF8' }],
  ['replication', { accepts: /^(false|off|no|0)$/, instead: 'leave it out' }],
  [
    'target_session_attrs',
    { accepts: /^(any|read-write|primary)$/, instead: 'it always looks for the primary' },
  ],
  ['require_auth', { instead: 'leave it out, and use sslmode=verify-full' }],
  ['requirepeer', { instead: 'leave it out' }],
  ['passfile', { instead: 'set the password in the URL or in PGPASSWORD' }],
  ['service', { instead: 'write out what the service file says' }],
  ['servicefile', { instead: 'write out what the service file says' }],
  ['sslcrl', { instead: 'use a root certificate that has signed nothing else' }],
  ['sslcrldir', { instead: 'use a root certificate that has signed nothing else' }],
  ['sslcertmode', { accepts: /^allow$/, instead: 'set sslcert, or leave it out' }],
  ['min_protocol_version', { accepts: /^3\.0$/, instead: 'it speaks 3.0' }],
  ['max_protocol_version', { accepts: /^(3\.[02]|latest)$/, instead: 'it speaks 3.0' }],
  ['scram_client_key', { instead: 'use a password' }],
  ['scram_server_key', { instead: 'use a password' }],
  ['oauth_issuer', { instead: 'use a password or a certificate' }],
  ['oauth_client_id', { instead: 'use a password or a certificate' }],
  ['oauth_client_secret', { instead: 'use a password or a certificate' }],
  ['oauth_scope', { instead: 'use a password or a certificate' }],
])

/** Parameters that are ignored: Kairan notices a dead connection by its own deadlines. */
const harmless = [
  ...['keepalives_interval', 'keepalives_count', 'tcp_user_timeout', 'sslcompression'],
  ...['krbsrvname', 'gsslib', 'gssdelegation', 'sslkeylogfile', 'fallback_application_name'],
]
