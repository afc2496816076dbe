import { accessSync, constants } from 'node:fs'
import { availableParallelism } from 'node:os'
import { defaultRoleLevelQuery } from './auth/roles.ts'
import { isHostName, isLoopback, isOrigin } from './http/hosts.ts'
import { parseDuration } from './lib/duration.ts'
import { messageOf } from './lib/errors.ts'
import { parsePostgresUrl } from './lib/postgres-url.ts'

/** Every setting, checked. Times are in milliseconds. */
export type Config = ReturnType<typeof readAll>

/** What is wrong with the settings: one line for each. The process exits with 78 (EX_CONFIG). */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: string[]

  constructor(problems: string[]) {
    super(`Kairan can't start with these settings:\n${problems.map(p => `  ${p}`).join('\n')}`)
    this.problems = problems
  }
}

export type Environment = Record<string, string | undefined>

/** Reads every setting from the environment. Throws one ConfigError that names every wrong one. */
export const readConfig = (env: Environment): Config => readWith(env, readAll)

/** Reads what migrating needs. Throws a ConfigError. */
export const readDatabaseUrl = (env: Environment): string =>
  readWith(env, read => read.postgresUrl('DATABASE_URL') ?? '')

/** Reads what signing a token needs. Throws a ConfigError. */
export const readSigning = (env: Environment) =>
  readWith(env, read => ({
    secrets: read.secrets('JWT_SECRET', 32),
    issuer: read.optional('JWT_ISSUER'),
    audience: read.optional('JWT_AUDIENCE'),
  }))

const readWith = <T>(env: Environment, read: (reader: Reader) => T): T => {
  const problems: string[] = []
  const result = read(createReader(env, problems))
  if (problems.length > 0) throw new ConfigError(problems)
  return result
}

const readAll = (read: Reader) => ({
  host: read.text('HOST', '127.0.0.1'),
  port: read.integer('PORT', 3000, 0, 65535),
  workers: read.workers('WORKERS', 64),
  databaseUrl: read.postgresUrl('DATABASE_URL') ?? '',
  databaseListenUrl: read.postgresUrl('DATABASE_LISTEN_URL', 'optional') ?? null,
  jwtSecrets: read.secrets('JWT_SECRET', 32, 'JWT_JWKS_URL'),
  jwtJwksUrl: read.secureUrl('JWT_JWKS_URL'),
  jwtIssuer: read.optional('JWT_ISSUER'),
  jwtAudience: read.optional('JWT_AUDIENCE'),
  authCookie: read.matching(
    'AUTH_COOKIE',
    'kairan_token',
    /^[\w!#$%&'*+.^`|~-]{1,100}$/,
    'a cookie name',
  ),
  corsOrigins: read.list('CORS_ORIGINS', isOrigin, 'origins like https://app.example.com'),
  allowedHosts: read.list('ALLOWED_HOSTS', isHostName, 'host names like notify.example.com'),
  trustedProxies: read.integer('TRUSTED_PROXIES', 0, 0, 10),
  maxStreams: read.integer('MAX_STREAMS', 100_000, 1, 10_000_000),
  maxStreamsPerUser: read.integer('MAX_STREAMS_PER_USER', 1000, 1, 1_000_000),
  maxStreamsPerAddress: read.optionalInteger('MAX_STREAMS_PER_ADDRESS', 1, 1_000_000),
  dashboard: read.matching('DASHBOARD', 'on', /^(on|readonly|off)$/, 'on, readonly or off'),
  publishRate: read.integer('PUBLISH_RATE', 1000, 1, 1_000_000),
  adminRoleLevel: read.integer('ADMIN_ROLE_LEVEL', 100, -(2 ** 31), 2 ** 31 - 1),
  roleLevelQuery: read.matching(
    'ROLE_LEVEL_QUERY',
    defaultRoleLevelQuery,
    /\$1(?!\d)/,
    'SQL that finds the role level of the user id $1',
  ),
  heartbeatMs: read.integer('HEARTBEAT_MS', 15_000, 100, 60_000),
  retryMs: read.integer('RETRY_MS', 3000, 10, 600_000),
  maxStreamAgeMs: read.integer('MAX_STREAM_AGE_MS', 900_000, 1000, 2 ** 31 - 1),
  queueBytes: read.integer('QUEUE_BYTES', 1024 * 1024, 1024, 1024 ** 3),
  replayLimit: read.integer('REPLAY_LIMIT', 10_000, 0, 1_000_000),
  maxEventBytes: read.integer('MAX_EVENT_BYTES', 65_536, 100, 16 * 1024 * 1024),
  livePath: read.onOff('LIVE_PATH', 'on'),
  retentionMs: read.duration('RETENTION', '7d'),
  drainMs: read.integer('DRAIN_MS', 10_000, 0, 3_600_000),
  otelExporterOtlpEndpoint: read.httpUrl('OTEL_EXPORTER_OTLP_ENDPOINT'),
  otelServiceName: read.text('OTEL_SERVICE_NAME', 'kairan'),
  logLevel: read.matching(
    'LOG_LEVEL',
    'info',
    /^(trace|debug|info|warn|error|fatal|silent)$/,
    'one of trace, debug, info, warn, error, fatal, silent',
  ),
})

type Reader = ReturnType<typeof createReader>

const createReader = (env: Environment, problems: string[]) => {
  // An empty variable counts as absent: that is how compose files and CI pass on what is not set.
  const get = (name: string) => env[name]?.trim() || undefined
  const split = (name: string) =>
    (get(name) ?? '')
      .split(',')
      .map(item => item.trim())
      .filter(Boolean)

  return {
    text: (name: string, fallback: string) => get(name) ?? fallback,
    optional: (name: string) => get(name) ?? null,
    integer(name: string, fallback: number, least: number, most: number) {
      const value = get(name)
      if (value === undefined) return fallback
      const number = Number(value)
      if (/^-?\d+$/.test(value) && number >= least && number <= most) return number
      problems.push(`${name}="${value}": it has to be a whole number from ${least} to ${most}.`)
      return fallback
    },
    optionalInteger(name: string, least: number, most: number) {
      return get(name) === undefined ? null : this.integer(name, least, least, most)
    },
    /** `auto` is one per core. */
    workers(name: string, most: number) {
      const value = get(name) ?? '1'
      const count = value === 'auto' ? Math.min(availableParallelism(), most) : Number(value)
      if (/^(auto|\d+)$/.test(value) && count >= 1 && count <= most) return count
      problems.push(`${name}="${value}": it has to be a whole number from 1 to ${most}, or auto.`)
      return 1
    },
    onOff(name: string, fallback: 'on' | 'off') {
      const value = get(name) ?? fallback
      if (!/^(on|off)$/.test(value)) problems.push(`${name}="${value}": it has to be on or off.`)
      return value === 'on'
    },
    /** As in 90s, 15m, 12h, 7d. */
    duration(name: string, fallback: string) {
      const value = get(name) ?? fallback
      const ms = parseDuration(value)
      if (!(ms > 0))
        problems.push(`${name}="${value}": it has to be a time like 90s, 15m, 12h or 7d.`)
      return ms
    },
    matching(name: string, fallback: string, pattern: RegExp, what: string) {
      const value = get(name) ?? fallback
      if (!pattern.test(value)) problems.push(`${name}="${value}": it has to be ${what}.`)
      return value
    },
    /** Never repeats the value: it holds a password. */
    postgresUrl(name: string, optional?: 'optional') {
      const value = get(name)
      if (value === undefined) {
        if (!optional) {
          problems.push(
            `${name} is missing: set it to postgres://user:password@host:5432/database. ` +
              '(`bun run dev` brings its own Postgres.)',
          )
        }
      } else {
        const problem = problemOfPostgresUrl(value)
        if (problem !== null) problems.push(`${name} can't be used: ${problem}`)
      }
      return value
    },
    list(name: string, isValid: (item: string) => boolean, what: string) {
      const items = split(name)
      const wrong = items.find(item => !isValid(item))
      if (wrong !== undefined) problems.push(`${name}: "${wrong}" is none of: ${what}, by commas.`)
      return items
    },
    httpUrl(name: string) {
      const value = get(name)
      if (value === undefined) return null
      if (!/^https?:$/.test(URL.parse(value)?.protocol ?? '')) {
        problems.push(`${name} is not a URL like http://otel-collector:4318.`)
      }
      return value
    },
    /** Who can change what is read from it can sign in as anybody: plain http only on this machine. */
    secureUrl(name: string) {
      const value = get(name)
      if (value === undefined) return null
      const url = URL.parse(value)
      if (url?.protocol !== 'https:' && !(url?.protocol === 'http:' && isLoopback(url.hostname))) {
        problems.push(
          `${name} is not a URL like https://id.example.com/jwks.json (http: loopback).`,
        )
      } else if (url.username || url.password) {
        problems.push(`${name} has a password in it, which is not sent: keys are public.`)
      }
      return value
    },
    /** Several, comma-separated, during a rotation: the first signs, all verify. */
    secrets(name: string, leastBytes: number, instead?: string) {
      const secrets = split(name)
      if (secrets.length === 0 && (!instead || get(instead) === undefined)) {
        problems.push(
          `${name} is missing: set it to at least ${leastBytes} random bytes, for example from \`openssl rand -base64 48\`${instead ? `, or set ${instead}` : ''}.`,
        )
      }
      for (const [index, secret] of secrets.entries()) {
        const bytes = Buffer.byteLength(secret)
        if (secret.startsWith('-----BEGIN')) {
          problems.push(
            `${name} (number ${index + 1}) is a key in PEM, which is no secret: use JWT_JWKS_URL.`,
          )
        } else if (bytes < leastBytes) {
          problems.push(
            `${name} (number ${index + 1}) has ${bytes} bytes: HS256 needs at least ${leastBytes} (RFC 7518, 3.2).`,
          )
        } else if (new Set(secret).size < 8) {
          problems.push(`${name} (number ${index + 1}) repeats a few characters: use a random one.`)
        }
      }
      return secrets
    },
  }
}

/** What is wrong with it; null when nothing is. The files that it names have to be there. */
const problemOfPostgresUrl = (url: string) => {
  try {
    const { rootCertificate, certificate, key } = parsePostgresUrl(url).tls
    for (const file of [rootCertificate, certificate, key]) {
      if (file !== undefined && file !== 'system') accessSync(file, constants.R_OK)
    }
    return null
  } catch (error) {
    return messageOf(error)
  }
}
