import { expect, test } from 'bun:test'
import { availableParallelism } from 'node:os'
import { ConfigError, type Environment, readConfig } from '../src/config.ts'

const enough = {
  DATABASE_URL: 'postgres://u:p@localhost/db',
  JWT_SECRET: 'q7Jw0u4mXb1Zr8Tn5Kc2Vd9Lf6Hg3Ay-',
}

const problemsOf = (env: Environment) => {
  try {
    readConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

test('needs no more than a database and a secret', () => {
  expect(readConfig(enough)).toMatchObject({
    host: '127.0.0.1',
    port: 3000,
    authCookie: 'kairan_token',
    adminRoleLevel: 100,
    heartbeatMs: 15_000,
    maxEventBytes: 65_536,
    workers: 1,
    jwtSecrets: [enough.JWT_SECRET],
  })
})

test('names every wrong setting in one error', () => {
  const problems = problemsOf({
    DATABASE_URL: 'mysql://u:geheim@localhost/db',
    JWT_SECRET: 'short',
    PORT: '65536',
    HEARTBEAT_MS: '15s',
    RETRY_MS: '-1',
    AUTH_COOKIE: 'a b',
    ROLE_LEVEL_QUERY: 'select 1',
    LOG_LEVEL: 'loud',
    LIVE_PATH: 'no',
    WORKERS: '65',
  })
  const names = problems.map(problem => problem.split(/[ =]/)[0])
  expect(names.toSorted()).toEqual([
    'AUTH_COOKIE',
    'DATABASE_URL',
    'HEARTBEAT_MS',
    'JWT_SECRET',
    'LIVE_PATH',
    'LOG_LEVEL',
    'PORT',
    'RETRY_MS',
    'ROLE_LEVEL_QUERY',
    'WORKERS',
  ])
  expect(problems).toContain('PORT="65536": it has to be a whole number from 0 to 65535.')
  expect(problems.join()).not.toContain('geheim')
  expect(problems.join()).not.toContain('short"')
})

test('refuses secrets that are missing, short or no secrets', () => {
  expect(problemsOf({ ...enough, JWT_SECRET: undefined })[0]).toStartWith('JWT_SECRET is missing')
  expect(problemsOf({ ...enough, JWT_SECRET: ' , ' })[0]).toStartWith('JWT_SECRET is missing')
  expect(problemsOf({ ...enough, JWT_SECRET: `${enough.JWT_SECRET},short` })).toEqual([
    'JWT_SECRET (number 2) has 5 bytes: HS256 needs at least 32 (RFC 7518, 3.2).',
  ])
  expect(problemsOf({ ...enough, JWT_SECRET: 'x'.repeat(64) })[0]).toContain('repeats')
})

test('needs no secret where the keys of a provider are named, but a URL that nobody can change', () => {
  const withKeys = (url: string, more: Environment = {}) =>
    problemsOf({ ...enough, JWT_SECRET: undefined, JWT_JWKS_URL: url, ...more })
  for (const url of [
    'https://id.example.com/jwks.json',
    'http://localhost:8080/jwks',
    'http://127.0.0.1/jwks',
    'http://[::1]:1/jwks',
  ]) {
    expect(withKeys(url)).toEqual([])
  }
  for (const url of [
    'http://id.example.com/jwks.json',
    'http://localhost.evil.test/jwks',
    'http://127.0.0.1.evil.test/jwks',
    'file:///etc/jwks.json',
    'id.example.com',
  ]) {
    expect(withKeys(url)[0]).toStartWith('JWT_JWKS_URL is not a URL like https://')
  }
  expect(withKeys('https://u:geheim@id.example.com/')[0]).toStartWith('JWT_JWKS_URL has a password')
  expect(withKeys('https://id.example.com/', { JWT_SECRET: 'short' })).toHaveLength(1)
  const pem =
    '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n'
  expect(problemsOf({ ...enough, JWT_SECRET: pem })).toEqual([
    'JWT_SECRET (number 1) is a key in PEM, which is no secret: use JWT_JWKS_URL.',
  ])
})

test('takes origins and hosts as browsers send them, or says which is none', () => {
  expect(
    readConfig({
      ...enough,
      CORS_ORIGINS: 'https://app.example.com, http://localhost:5173,capacitor://localhost',
      ALLOWED_HOSTS: 'notify.example.com,10.0.0.1,[::1]',
    }),
  ).toMatchObject({
    corsOrigins: ['https://app.example.com', 'http://localhost:5173', 'capacitor://localhost'],
    allowedHosts: ['notify.example.com', '10.0.0.1', '[::1]'],
    publishRate: 1000,
  })
  for (const origin of ['*', 'app.example.com', 'https://a.test/', 'https://*.a.test', 'null']) {
    expect(problemsOf({ ...enough, CORS_ORIGINS: `https://b.test,${origin}` })).toEqual([
      `CORS_ORIGINS: "${origin}" is none of: origins like https://app.example.com, by commas.`,
    ])
  }
  for (const host of ['*', 'a.test:80', 'https://a.test', 'a b']) {
    expect(problemsOf({ ...enough, ALLOWED_HOSTS: host })[0]).toStartWith('ALLOWED_HOSTS: ')
  }
})

test('takes an empty variable as absent', () => {
  expect(readConfig({ ...enough, PORT: '', JWT_ISSUER: '' })).toMatchObject({
    port: 3000,
    jwtIssuer: null,
  })
})

test('counts workers, or has one for each core', () => {
  expect(readConfig({ ...enough, WORKERS: '64' }).workers).toBe(64)
  const { workers } = readConfig({ ...enough, WORKERS: 'auto' })
  expect(workers).toBe(Math.min(64, availableParallelism()))
  for (const wrong of ['0', '1.5', '-1', 'many', '1e1']) {
    expect(problemsOf({ ...enough, WORKERS: wrong })).toEqual([
      `WORKERS="${wrong}": it has to be a whole number from 1 to 64, or auto.`,
    ])
  }
})
