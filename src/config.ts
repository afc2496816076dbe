import { defaultRoleLevelQuery } from './auth/roles.ts'
import {
  createReader,
  type Environment,
  type SettingReader,
  type ShownSetting,
} from './config/reader.ts'
import { isHostName, isOrigin } from './http/hosts.ts'

export type { Environment } from './config/reader.ts'

/** Every setting, checked. Times are in milliseconds. */
export type Config = ReturnType<typeof readAll> & {
  /** The same settings in the order of this file, as text without secrets. */
  shown: ShownSetting[]
}

/** What is wrong with the settings: one line for each. The process exits with 78 (EX_CONFIG). */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: string[]

  constructor(problems: string[]) {
    super(`Kairan can't start with these settings:\n${problems.map(p => `  ${p}`).join('\n')}`)
    this.problems = problems
  }
}

/**
 * Reads every setting from the environment. Throws one ConfigError that names every wrong one. No `JWT_SECRET` is
 * needed where the application `signsIn` by itself.
 */
export const readConfig = (env: Environment, { signsIn = false } = {}): Config =>
  readWith(env, (read, shown) => ({ ...readAll(read, signsIn), shown }))

/** Reads the settings that migrating needs. Throws a ConfigError. */
export const readDatabaseUrl = (env: Environment): string =>
  readWith(env, read => read.postgresUrl('DATABASE_URL') ?? '')

/** Reads where the service listens, as `start` does. Throws a ConfigError. */
export const readListen = (env: Environment) => readWith(env, listenOf)

/** Reads what signing a token needs. Throws a ConfigError. */
export const readSigning = (env: Environment) =>
  readWith(env, read => ({
    secrets: read.secrets('JWT_SECRET', 32),
    issuer: read.optional('JWT_ISSUER'),
    audience: read.optional('JWT_AUDIENCE'),
  }))

/** The names of all settings. */
export const settingNames = (): string[] => {
  const shown: ShownSetting[] = []
  readAll(createReader({}, [], shown), false)
  return shown.map(({ name }) => name)
}

/** The settings by name, for people to read. Secrets and passwords are replaced by dots. */
export const showConfig = ({ shown }: Config): Record<string, string> =>
  Object.fromEntries(shown.map(({ name, text }) => [name, text]))

/**
 * The settings as lines of an env file. Kairan accepts each line again. A setting that is secret as a whole is a
 * comment, because no other value can take its place; a password within a URL is replaced by dots.
 */
export const printConfig = ({ shown }: Config): string =>
  shown
    .map(({ name, text, isSecret }) => {
      const line = `${name}=${/[\r\n]/.test(text) ? JSON.stringify(text) : text}`
      return isSecret ? `# ${line}` : line
    })
    .join('\n')

const readWith = <T>(
  env: Environment,
  read: (reader: SettingReader, shown: ShownSetting[]) => T,
): T => {
  const problems: string[] = []
  const shown: ShownSetting[] = []
  const result = read(createReader(env, problems, shown), shown)
  if (problems.length > 0) throw new ConfigError(problems)
  return result
}

const listenOf = (read: SettingReader) => ({
  // An IPv6 address may have its brackets of a URL.
  host: read.text('HOST', '127.0.0.1').replace(/^\[(.*)\]$/, '$1'),
  port: read.integer('PORT', 3000, 0, 65535),
})

const readAll = (read: SettingReader, signsIn: boolean) => ({
  ...listenOf(read),
  workers: read.workers('WORKERS', 64),
  databaseUrl: read.postgresUrl('DATABASE_URL') ?? '',
  databaseListenUrl: read.postgresUrl('DATABASE_LISTEN_URL', 'optional') ?? null,
  relayUrl: read.natsUrl('RELAY_URL'),
  jwtSecrets: read.secrets('JWT_SECRET', 32, signsIn ? 'optional' : 'JWT_JWKS_URL'),
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
  channelsQuery: read.matching(
    'CHANNELS_QUERY',
    '',
    /^$|\$1(?!\d)/,
    'SQL that finds the channels of the user id $1, one in each row',
  ),
  maxChannels: read.integer('MAX_CHANNELS', 1000, 1, 100_000),
  newUsers: read.matching('NEW_USERS', 'read', /^(read|unread)$/, 'read or unread'),
  heartbeatMs: read.integer('HEARTBEAT_MS', 15_000, 100, 60_000),
  retryMs: read.integer('RETRY_MS', 3000, 10, 600_000),
  maxStreamAgeMs: read.integer('MAX_STREAM_AGE_MS', 900_000, 1000, 2 ** 31 - 1),
  queueBytes: read.integer('QUEUE_BYTES', 1024 * 1024, 1024, 1024 ** 3),
  replayLimit: read.integer('REPLAY_LIMIT', 10_000, 0, 1_000_000),
  maxEventBytes: read.integer('MAX_EVENT_BYTES', 65_536, 100, 16 * 1024 * 1024),
  livePath: read.onOff('LIVE_PATH', 'on'),
  retentionMs: read.duration('RETENTION', '7d'),
  webhookUrl: read.webhookUrl('WEBHOOK_URL'),
  webhookSecrets: read.webhookSecrets('WEBHOOK_SECRET', 'WEBHOOK_URL'),
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
