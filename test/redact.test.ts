import { expect, test } from 'bun:test'
import { readConfig } from '../src/config.ts'
import { redactConfig } from '../src/redact.ts'

test('shows every setting, and of none what is secret', () => {
  const secrets = [
    '0123456789-abcdefgh-0123456789-abcdefgh',
    'another-secret-of-the-tests-9876543210',
  ]
  const config = readConfig({
    DATABASE_URL: 'postgres://kairan:p%40ss-one@db.test/kairan?sslmode=require',
    DATABASE_LISTEN_URL: 'postgres://db.test/kairan?user=kairan&password=pass-two',
    JWT_SECRET: secrets.join(','),
    CORS_ORIGINS: 'https://a.test,https://b.test',
  })
  const shown = redactConfig(config)
  expect(shown).toMatchObject({
    DATABASE_URL: 'postgres://kairan:••••@db.test/kairan?sslmode=require',
    DATABASE_LISTEN_URL: 'postgres://db.test/kairan?user=kairan&password=••••',
    JWT_SECRET: '••••••••, ••••••••',
    CORS_ORIGINS: 'https://a.test, https://b.test',
    RETENTION_MS: '604800000',
    JWT_ISSUER: '',
  })
  expect(Object.keys(shown)).toHaveLength(Object.keys(config).length)
  expect(JSON.stringify(shown)).not.toMatch(/pass-|p%40ss|p@ss|abcdefgh|9876543210/)
})
