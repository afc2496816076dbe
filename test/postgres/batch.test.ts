import { expect, test } from 'bun:test'
import { createBatch } from '../../src/postgres/batch.ts'
import { createDatabase } from '../../src/postgres/database.ts'
import { database } from '../support/database.ts'

test('what was given up is not written again, also when its write was under way and failed', async () => {
  await using db = await database()
  const pool = createDatabase(db.url, { max: 1, name: 'batch test', deadlineMs: 10_000 })
  let answer = Promise.withResolvers<void>()
  const written: number[][] = []
  const batch = createBatch<number>(pool, async (_sql, rows) => {
    await answer.promise
    written.push(rows)
    return []
  })
  batch.add(1)
  const writing = batch.write()
  batch.add(2)
  batch.clear()
  batch.add(3)
  answer.reject(new Error('away'))
  await expect(writing).rejects.toThrow('away')
  expect(batch.counts.waiting).toBe(1)

  answer = Promise.withResolvers()
  answer.resolve()
  expect(await batch.write()).toBe(0)
  expect(written).toEqual([[3]])
  await pool.stop()
})

test('keeps what could not be written, before what came meanwhile', async () => {
  await using db = await database()
  const pool = createDatabase(db.url, { max: 1, name: 'batch test', deadlineMs: 10_000 })
  const written: number[][] = []
  let isAway = true
  const batch = createBatch<number>(pool, async (_sql, rows) => {
    if (isAway) {
      batch.add(2)
      throw new Error('away')
    }
    written.push(rows)
    return []
  })
  batch.add(1)
  await expect(batch.write()).rejects.toThrow('away')
  isAway = false
  await batch.write()
  expect(written).toEqual([[1, 2]])
  expect(batch.counts.waiting).toBe(0)
  await pool.stop()
})
