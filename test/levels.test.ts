import { expect, test } from 'bun:test'
import { createLevels } from '../src/levels.ts'

/** Levels of a table that counts how often it is asked. */
const setUp = (keepMs = 60_000) => {
  const table = { level: 1, asked: 0, isTold: true, answered: Promise.resolve() }
  const levels = createLevels({
    keepMs,
    isTold: () => table.isTold,
    async lookUp() {
      table.asked++
      const { level } = table
      await table.answered
      return level
    },
  })
  return { table, levels }
}

test('asks once for a level that does not change', async () => {
  const { table, levels } = setUp()
  expect([await levels.levelOf('1'), await levels.levelOf('1')]).toEqual([1, 1])
  expect(table.asked).toBe(1)
})

test('asks again when it changed, and for that user only', async () => {
  const { table, levels } = setUp()
  await levels.levelOf('1')
  await levels.levelOf('2')
  table.level = 2
  levels.forget('1')
  expect([await levels.levelOf('1'), await levels.levelOf('2')]).toEqual([2, 1])
  levels.forget()
  expect(await levels.levelOf('2')).toBe(2)
})

test('does not remember what was asked before a change and answered after it', async () => {
  const { table, levels } = setUp()
  const slow = Promise.withResolvers<void>()
  table.answered = slow.promise
  const old = levels.levelOf('1')
  table.level = 2
  levels.forget('1')
  slow.resolve()
  expect(await old).toBe(1)
  expect(await levels.levelOf('1')).toBe(2)
})

test('remembers nothing while nobody would tell of a change, nor for longer than it may', async () => {
  const { table, levels } = setUp()
  table.isTold = false
  await levels.levelOf('1')
  table.level = 2
  expect(await levels.levelOf('1')).toBe(2)

  const short = setUp(0)
  await short.levels.levelOf('1')
  await short.levels.levelOf('1')
  expect(short.table.asked).toBe(2)
})
