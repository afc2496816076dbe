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

test('gives up the one row that Postgres refuses, and writes the others', async () => {
  await using db = await database()
  const pool = createDatabase(db.url, { max: 1, name: 'batch test', deadlineMs: 10_000 })
  const written: number[] = []
  const batch = createBatch<number>(pool, async (sql, rows) => {
    await sql`select r::int from jsonb_array_elements_text(${sql.json(rows)}) r`
    written.push(...rows)
    return []
  })
  for (let row = 0; row < 100; row++) batch.add(row === 42 ? 2 ** 31 : row)
  await expect(batch.write()).rejects.toThrow('out of range')
  expect(written.toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 100 }, (_, row) => row).filter(row => row !== 42),
  )
  expect(batch.counts).toEqual({ waiting: 0, dropped: 1 })
  expect(await batch.write()).toBe(0)
  await pool.stop()
})

test('writes fewer rows at once after a statement that took too long', async () => {
  await using db = await database()
  const pool = createDatabase(db.url, { max: 1, name: 'batch test', deadlineMs: 10_000 })
  const sizes: number[] = []
  const batch = createBatch<number>(pool, async (_sql, rows) => {
    sizes.push(rows.length)
    if (rows.length > 300) throw new Error('too late')
    return []
  })
  for (let row = 0; row < 1000; row++) batch.add(row)
  for (let attempt = 0; attempt < 2; attempt++) {
    await expect(batch.write()).rejects.toThrow('too late')
  }
  await expect(batch.write()).rejects.toThrow('too late')
  await batch.write().catch(() => undefined)
  expect(sizes.slice(0, 4)).toEqual([1000, 500, 250, 500])
  for (let attempt = 0; batch.counts.waiting > 0 && attempt < 10; attempt++) {
    await batch.write().catch(() => undefined)
  }
  expect(batch.counts).toEqual({ waiting: 0, dropped: 0 })
  await pool.stop()
})
