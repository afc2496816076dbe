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
    WORKERS: '65',
  })
  const names = problems.map(problem => problem.split(/[ =]/)[0])
  expect(names.toSorted()).toEqual([
    'AUTH_COOKIE',
    'DATABASE_URL',
    'HEARTBEAT_MS',
    'JWT_SECRET',
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
