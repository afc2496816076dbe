import { expect, test } from 'bun:test'
import { ConfigError, readConfig } from '../../src/config.ts'
import { createKairan } from '../../src/embed/index.ts'
import { readOptions, settingOf } from '../../src/embed/options.ts'

const databaseUrl = 'postgres://u:p@127.0.0.1:1/db'
const identify = () => null

const problemsOf = (options: object) => {
  try {
    // As a program in JavaScript can call it.
    Reflect.apply(createKairan, null, [options])
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

test('every setting of the service is an option, but for those of its port', () => {
  const { shown } = readConfig({
    DATABASE_URL: databaseUrl,
    JWT_SECRET: 'q7Jw0u4mXb1Zr8Tn5Kc2Vd9Lf6Hg3Ay-',
  })
  const settings = shown.map(({ name }) => name).filter(name => !/^(HOST|PORT|WORKERS)$/.test(name))
  expect(Object.values(settingOf).toSorted()).toEqual(settings.toSorted())
  for (const [name, setting] of Object.entries(settingOf)) {
    expect(name.replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase()).toBe(setting)
  }
})

test('options have the defaults of the settings, and nothing is read from the environment', () => {
  process.env.RETRY_MS = '77'
  try {
    const { config } = readOptions({ databaseUrl, identify })
    expect(config).toMatchObject({
      retryMs: 3000,
      heartbeatMs: 15_000,
      retentionMs: 7 * 86_400_000,
    })
  } finally {
    delete process.env.RETRY_MS
  }
  const { config } = readOptions({
    ...{ databaseUrl, identify, corsOrigins: ['https://a.example', 'https://b.example'] },
    ...{ livePath: false, retention: '12h', maxStreams: 5 },
  })
  expect(config).toMatchObject({
    corsOrigins: ['https://a.example', 'https://b.example'],
    livePath: false,
    retentionMs: 43_200_000,
    maxStreams: 5,
  })
})

test('one error names every wrong option, by the name of the option', () => {
  const problems = problemsOf({
    databaseUri: databaseUrl,
    heartbeatMs: 'often',
    prefix: 'kairan/',
    identify: 'me',
    logger: {},
    retention: 'long',
  })
  const names = problems.map(problem => problem.split(/[ =]/)[0])
  expect(names).toEqual([
    'databaseUri',
    'identify',
    'prefix',
    'logger',
    'databaseUrl',
    'heartbeatMs',
    'retention',
  ])
  expect(problems[0]).toContain('Is databaseUrl meant?')
})

test('without identify a secret is needed, with it none', () => {
  expect(problemsOf({ databaseUrl })).toEqual([
    expect.stringMatching(/^jwtSecret is missing: .*or set jwtJwksUrl\.$/),
  ])
  expect(problemsOf({ databaseUrl, identify })).toEqual([])
})
