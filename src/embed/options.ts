import { closest } from '../config/mistaken.ts'
import { type Config, ConfigError, type Environment, readConfig } from '../config.ts'
import type { KairanOptions, Settings } from './types.ts'

/** The setting of each option. HOST, PORT and WORKERS are no options: the application listens. */
export const settingOf: { [Name in keyof Required<Settings>]: string } = {
  databaseUrl: 'DATABASE_URL',
  databaseListenUrl: 'DATABASE_LISTEN_URL',
  relayUrl: 'RELAY_URL',
  jwtSecret: 'JWT_SECRET',
  jwtJwksUrl: 'JWT_JWKS_URL',
  jwtIssuer: 'JWT_ISSUER',
  jwtAudience: 'JWT_AUDIENCE',
  authCookie: 'AUTH_COOKIE',
  corsOrigins: 'CORS_ORIGINS',
  allowedHosts: 'ALLOWED_HOSTS',
  trustedProxies: 'TRUSTED_PROXIES',
  maxStreams: 'MAX_STREAMS',
  maxStreamsPerUser: 'MAX_STREAMS_PER_USER',
  maxStreamsPerAddress: 'MAX_STREAMS_PER_ADDRESS',
  dashboard: 'DASHBOARD',
  publishRate: 'PUBLISH_RATE',
  adminRoleLevel: 'ADMIN_ROLE_LEVEL',
  roleLevelQuery: 'ROLE_LEVEL_QUERY',
  channelsQuery: 'CHANNELS_QUERY',
  maxChannels: 'MAX_CHANNELS',
  newUsers: 'NEW_USERS',
  heartbeatMs: 'HEARTBEAT_MS',
  retryMs: 'RETRY_MS',
  maxStreamAgeMs: 'MAX_STREAM_AGE_MS',
  queueBytes: 'QUEUE_BYTES',
  replayLimit: 'REPLAY_LIMIT',
  maxEventBytes: 'MAX_EVENT_BYTES',
  livePath: 'LIVE_PATH',
  retention: 'RETENTION',
  webhookUrl: 'WEBHOOK_URL',
  webhookSecret: 'WEBHOOK_SECRET',
  drainMs: 'DRAIN_MS',
  otelExporterOtlpEndpoint: 'OTEL_EXPORTER_OTLP_ENDPOINT',
  otelServiceName: 'OTEL_SERVICE_NAME',
  logLevel: 'LOG_LEVEL',
}

const ownNames = ['identify', 'prefix', 'logger']

/** Reads the options by the readers of the settings. Throws one ConfigError that names every wrong option. */
export const readOptions = (options: KairanOptions): { config: Config; prefix: string } => {
  const env: Environment = {}
  const problems = problemsOf(options)
  const settings = Object.entries(settingOf)
  const given: Record<string, unknown> = options
  for (const [name, setting] of settings) env[setting] = textOf(given[name])
  try {
    const config = readConfig(env, { signsIn: options.identify !== undefined })
    if (problems.length === 0) return { config, prefix: options.prefix ?? '' }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const rename = (text: string) =>
      settings.reduce(
        (line, [name, setting]) => line.replace(new RegExp(`\\b${setting}\\b`, 'g'), name),
        text,
      )
    problems.push(...error.problems.map(rename))
  }
  throw new ConfigError(problems)
}

/** What is wrong with the options that are no settings. */
const problemsOf = ({ identify, prefix, logger, ...settings }: KairanOptions) => {
  const known = [...Object.keys(settingOf), ...ownNames]
  const problems = Object.keys(settings)
    .filter(name => !known.includes(name))
    .map(name => `${name} is no option of Kairan's. Is ${closest(name, known)} meant?`)
  if (identify !== undefined && typeof identify !== 'function') {
    problems.push('identify has to be a function.')
  }
  if (prefix !== undefined && !/^(\/[\w.~-]+)*$/.test(prefix)) {
    problems.push(
      `prefix="${prefix}": it has to be a path like /kairan, without a slash at its end.`,
    )
  }
  if (logger !== undefined && !['info', 'warn', 'error'].every(level => has(logger, level))) {
    problems.push('logger has to have the functions info, warn and error.')
  }
  return problems
}

const has = (logger: object, level: string) => typeof Reflect.get(logger, level) === 'function'

const textOf = (value: unknown): string | undefined => {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  return Array.isArray(value) ? value.join(',') : String(value)
}
