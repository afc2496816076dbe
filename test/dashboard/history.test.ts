import { expect, test } from 'bun:test'
import type { Moment } from '../../src/admin/admin.ts'
import { createHistory } from '../../src/admin/history.ts'
import { createFigures } from '../../src/dashboard/figures.ts'
import { eventually } from '../support/eventually.ts'

const moment = (second: number): Moment => ({
  now: new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString(),
  instances: [],
  users: second,
  head: second * 10,
})

test('remembers so many moments, without those that could not be read', async () => {
  let reads = 0
  const history = createHistory({
    everyMs: 1,
    most: 3,
    async read() {
      reads++
      if (reads === 5) throw new Error('The database is away')
      return moment(reads)
    },
  })
  history.start()
  await eventually(() => reads >= 7)
  await history.stop()
  const ended = reads
  const users = history.all().map(one => one.users)
  expect(users).toHaveLength(3)
  expect(users).not.toContain(5)
  expect(users.at(-1)).toBe(ended)
  expect(users).toEqual(users.toSorted((a, b) => a - b))
})

test('moments of the past and the overviews that follow are one line', () => {
  const figures = createFigures()
  for (const second of [0, 10, 20]) figures.add(moment(second))
  const samples = figures.add(moment(22))
  expect(samples.map(({ published }) => published)).toEqual([null, 10, 10, 10])
})
