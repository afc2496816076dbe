import { expect, test } from 'bun:test'
import { createSemaphore } from '../../src/lib/semaphore.ts'

/** Work that notes its name when it begins, and runs until it is told to end. */
const held = (name: string, begun: string[]) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const work = () => {
    begun.push(name)
    return promise
  }
  return { work, end: resolve }
}

test('runs no more at once than there are places, in the order of asking', async () => {
  const semaphore = createSemaphore(2)
  const begun: string[] = []
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(name => held(name, begun))
  if (!a || !b || !c || !d) throw new Error('four pieces of work')
  const [first, second, third, fourth] = [a, b, c, d].map(({ work }) => semaphore.run(work))
  expect([begun, semaphore.size]).toEqual([['a', 'b'], 4])
  b.end()
  await second
  await Promise.resolve()
  expect(begun).toEqual(['a', 'b', 'c'])
  a.end()
  await first
  await Promise.resolve()
  expect(begun).toEqual(['a', 'b', 'c', 'd'])
  c.end()
  d.end()
  await Promise.all([third, fourth])
  expect(semaphore.size).toBe(0)
})

test('work that fails gives its place on', async () => {
  const semaphore = createSemaphore(1)
  const failing = semaphore.run(() => Promise.reject(new Error('no')))
  const next = semaphore.run(async () => 'yes')
  expect(failing).rejects.toThrow('no')
  expect(await next).toBe('yes')
})

test('work that has waited too long gets no place, and takes none from the next', async () => {
  const semaphore = createSemaphore(1, { ms: 20, tooLate: () => new Error('too late') })
  const first = held('first', [])
  const running = semaphore.run(first.work)
  const late = semaphore.run(async () => 'late')
  expect(late).rejects.toThrow('too late')
  await late.catch(() => undefined)
  first.end()
  await running
  expect(await semaphore.run(async () => 'next')).toBe('next')
})

test('fifty thousand that wait start in order, each once', async () => {
  const semaphore = createSemaphore(16)
  const begun: number[] = []
  const all = Array.from({ length: 50_000 }, (_, index) =>
    semaphore.run(async () => {
      begun.push(index)
      await Promise.resolve()
    }),
  )
  await Promise.all(all)
  expect(begun).toEqual(begun.map((_, index) => index))
  expect(begun).toHaveLength(50_000)
})
