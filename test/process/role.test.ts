import { expect, test } from 'bun:test'
import { setRole } from '../../src/process/role.ts'
import { database } from '../support/database.ts'
import { login } from '../support/logins.ts'

test('a login that serves may set no role level, and is told whose to use', async () => {
  await using db = await database()
  await using service = await login(db, 'kairan_service')
  await expect(setRole(['42', '100'], service.url)).rejects.toThrow('that of the owner')
  expect(await setRole(['42', '100'], db.url)).toBe('The role level of 42 is 100.')
})

test('a database without the schema says what to run', async () => {
  await using db = await database({ empty: true })
  await expect(setRole(['42', '100'], db.url)).rejects.toThrow('kairan migrate')
})
