import { expect, test } from 'bun:test'
import { findMistaken } from '../../src/config/mistaken.ts'
import { type Config, printConfig, readConfig, showConfig } from '../../src/config.ts'

const secrets = [
  '0123456789-abcdefgh-0123456789-abcdefgh',
  'another-secret-of-the-tests-9876543210',
]
const needed = { DATABASE_URL: 'postgres://kairan@db.test/kairan', JWT_SECRET: secrets.join(',') }

test('shows every setting, and of none what is secret', () => {
  const config = readConfig({
    DATABASE_URL: 'postgres://kairan:p%40ss-one@db.test/kairan?sslmode=require',
    DATABASE_LISTEN_URL: 'postgres://db.test/kairan?user=kairan&password=pass-two',
    JWT_SECRET: secrets.join(','),
    CORS_ORIGINS: 'https://a.test,https://b.test',
  })
  const shown = showConfig(config)
  expect(shown).toMatchObject({
    DATABASE_URL: 'postgres://kairan:••••@db.test/kairan?sslmode=require',
    DATABASE_LISTEN_URL: 'postgres://db.test/kairan?user=kairan&password=••••',
    JWT_SECRET: '••••••••, ••••••••',
    CORS_ORIGINS: 'https://a.test, https://b.test',
    RETENTION: '7d',
    JWT_ISSUER: '',
  })
  expect(Object.keys(shown)).toHaveLength(Object.keys(withoutShown(config)).length)
  expect(JSON.stringify(shown)).not.toMatch(/pass-|p%40ss|p@ss|abcdefgh|9876543210/)
})

test('hides what a setting of its kind can keep secret, whatever its name is', () => {
  const urls: [setting: string, url: string][] = [
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://user:geheim@otel.test:4318/v1'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'https://geheim@otel.test'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'https://u:ge@geheim@otel.test/'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'https://otel.test/?key=geheim'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'https://otel.test/?geheim'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'https://otel.test/#geheim'],
    ['JWT_JWKS_URL', 'https://id.test/keys?api-key=geheim'],
    ['DATABASE_URL', 'postgres://u:geheim@db.test/d'],
    ['DATABASE_URL', 'postgres://u:%25geheim@db.test/d'],
    ['DATABASE_LISTEN_URL', 'postgresql://db.test/d?pass%77ord=geheim'],
    ['DATABASE_LISTEN_URL', 'postgres://db.test/d?sslpassword=geheim'],
    ['DATABASE_LISTEN_URL', 'postgres://db.test/d?options=-c%20app.key%3Dgeheim'],
    ['RELAY_URL', 'nats://u:geheim@nats.test,b.test:4223'],
    ['RELAY_URL', 'nats://geheim@nats.test'],
    ['RELAY_URL', 'tls://u:geheim%40@nats.test?sslrootcert=/dev/null'],
  ]
  for (const [setting, url] of urls) {
    const config = readConfig({ ...needed, [setting]: url })
    const text = `${printConfig(config)} ${JSON.stringify(showConfig(config))}`
    expect([url, text.includes('geheim'), text.includes('test')]).toEqual([url, false, true])
  }
  for (const url of [
    'http:u:geheim@otel.test',
    'http:\\\\u:geheim@otel.test',
    'ht\ttp://u:geheim@h/',
  ]) {
    const read = () => readConfig({ ...needed, OTEL_EXPORTER_OTLP_ENDPOINT: url })
    expect(read).toThrow('OTEL_EXPORTER_OTLP_ENDPOINT is not a URL')
    expect(read).not.toThrow('geheim')
  }
})

const environments: Record<string, Record<string, string>> = {
  'no more than it needs': {},
  'a value in every setting': {
    ...{ HOST: '::', PORT: '0', WORKERS: 'auto', RETENTION: '36h', LIVE_PATH: 'off' },
    ...{ JWT_ISSUER: 'https://id.test/', JWT_AUDIENCE: 'kairan', AUTH_COOKIE: '__Host-t' },
    ...{ CORS_ORIGINS: 'https://a.test, capacitor://localhost', ALLOWED_HOSTS: 'a.test,[::1]' },
    ...{ DASHBOARD: 'readonly', MAX_STREAMS_PER_ADDRESS: '20', ADMIN_ROLE_LEVEL: '-5' },
    ROLE_LEVEL_QUERY: 'select level -- of "users"\nfrom app.users\r\nwhere id = $1::int',
    DATABASE_LISTEN_URL: 'postgres://a:1,b:2/d?sslmode=require',
    RELAY_URL: 'tls://nats.test:4222,[::1]:4223?sslrootcert=/dev/null',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://otel.test:4318',
    JWT_JWKS_URL: 'https://id.test/jwks.json',
  },
}

for (const [what, env] of Object.entries(environments)) {
  test(`what it prints is the same config when it is read again: ${what}`, () => {
    const config = readConfig({ ...needed, ...env })
    const lines = printConfig(config).split('\n')
    const settings = lines
      .filter(line => !line.startsWith('#'))
      .map(line => /^([A-Z_]+)=(.*)$/.exec(line)?.slice(1) ?? [])
      .map(([name = '', text = '']) => [name, text.startsWith('"') ? JSON.parse(text) : text])
    const again = readConfig({ ...Object.fromEntries(settings), JWT_SECRET: needed.JWT_SECRET })
    expect(withoutShown(again)).toEqual(withoutShown(config))
    expect(lines.filter(line => line.startsWith('#'))).toEqual(['# JWT_SECRET=••••••••, ••••••••'])
  })
}

test('finds variables that begin like a setting and are none, with the one that is meant', () => {
  const settings = Object.keys(showConfig(readConfig(needed)))
  const mistaken: [name: string, meant: string][] = [
    ['JWT_SECRETS', 'JWT_SECRET'],
    ['RETENTION_MS', 'RETENTION'],
    ['MAX_STREAM', 'MAX_STREAMS'],
    ['HEARTBEAT', 'HEARTBEAT_MS'],
    ['CORS_ORIGIN', 'CORS_ORIGINS'],
    ['DATABASE_LISTEN', 'DATABASE_LISTEN_URL'],
    ['OTEL_EXPORTER_OTLP_ENDPOINTS', 'OTEL_EXPORTER_OTLP_ENDPOINT'],
    ['PORTS', 'PORT'],
    ['WORKER', 'WORKERS'],
    ['JWTSECRET', 'JWT_SECRET'],
    ['KAIRAN_PORT', 'PORT'],
    ['KAIRAN_DATABASE_URL', 'DATABASE_URL'],
  ]
  for (const [name, meant] of mistaken) {
    expect(findMistaken({ [name]: 'x' }, settings)).toEqual([{ name, meant }])
  }
  const others = {
    ...Object.fromEntries(settings.map(name => [name, 'x'])),
    ...{ PATH: '/bin', HOSTNAME: 'a', HOME: '/', OTEL_RESOURCE_ATTRIBUTES: 'a=b', MAX_STREAM: '' },
    ...{ DATABASE_SERVICE_HOST: '10.0.0.1', DATABASE_SERVICE_PORT_PG: '5432' },
    ...{ DATABASE_PORT: 'tcp://10.0.0.1:5432', DATABASE_PORT_5432_TCP_ADDR: '10.0.0.1' },
    ...{ KAIRAN_SERVICE_HOST: '10.0.0.2', LOGNAME: 'me', PORTAL: 'x' },
    ...{ KAIRAN_PORT: 'tcp://10.0.0.2:3000', KAIRAN_SITE: 'a.test' },
    // OpenTelemetry reads it, and docs/operating.md says so.
    ...{ OTEL_EXPORTER_OTLP_HEADERS: 'authorization=x' },
  }
  expect(findMistaken(others, settings)).toEqual([])
})

const withoutShown = ({ shown: _, ...settings }: Config) => settings
