import { expect, test } from 'bun:test'
import { createTurns } from '../../src/lib/turns.ts'

/** Work that runs until it is told to end. */
const held = () => {
  const { promise, resolve } = Promise.withResolvers<string>()
  return { work: () => promise, end: resolve }
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'done',
    error => error.code,
  )

test('runs the work of one key in order, and other keys meanwhile', async () => {
  const turns = createTurns({ atOnce: 1, mostWaiting: 10, waitMs: 60_000 })
  const first = held()
  const order: string[] = []
  const a = turns.run('a', first.work)
  const b = turns.run('a', async () => order.push('second of a'))
  const c = turns.run('a', async () => order.push('third of a'))
  await turns.run('b', async () => order.push('first of b'))
  first.end('')
  await Promise.all([a, b, c])
  expect(order).toEqual(['first of b', 'second of a', 'third of a'])
})

test('a failure gives the turn on', async () => {
  const turns = createTurns({ atOnce: 1, mostWaiting: 10, waitMs: 60_000 })
  const failing = turns.run('a', () => Promise.reject(new Error('no')))
  const next = turns.run('a', async () => 'yes')
  expect(failing).rejects.toThrow('no')
  expect(await next).toBe('yes')
})

test('refuses what is too much, and what waits too long, and serves what follows', async () => {
  const turns = createTurns({ atOnce: 2, mostWaiting: 1, waitMs: 20 })
  const first = held()
  const second = held()
  const running = [turns.run('a', first.work), turns.run('a', second.work)]
  const waits = codeOf(turns.run('a', async () => 'late'))
  expect(await codeOf(turns.run('a', async () => 'too many'))).toBe('rate_limited')
  expect(await waits).toBe('unavailable')
  first.end('')
  second.end('')
  await Promise.all(running)
  expect(await turns.run('a', async () => 'again')).toBe('again')
})
