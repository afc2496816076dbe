import { expect, test } from 'bun:test'
import { createSharedLookup } from '../../src/lib/shared-lookup.ts'

const setUp = () => {
  const questions: { key: string; answer: PromiseWithResolvers<string> }[] = []
  const lookUp = createSharedLookup(key => {
    const answer = Promise.withResolvers<string>()
    questions.push({ key, answer })
    return answer.promise
  }, 2)
  return { questions, lookUp }
}
const turn = () => new Promise<void>(resolve => setImmediate(resolve))

test('asks twice at once for a key, and once for all who come meanwhile; other keys do not wait', async () => {
  const { questions, lookUp } = setUp()
  const answers = ['a', 'a', 'a', 'a', 'a', 'b'].map(lookUp)
  expect(questions.map(({ key }) => key)).toEqual(['a', 'a', 'b'])
  questions[1]?.answer.resolve('second')
  await turn()
  expect(questions.map(({ key }) => key)).toEqual(['a', 'a', 'b', 'a'])
  // It has begun: what is asked from now on is for another one.
  const late = lookUp('a')
  questions[3]?.answer.resolve('shared')
  await turn()
  questions[0]?.answer.resolve('first')
  questions[2]?.answer.resolve('other')
  questions[4]?.answer.resolve('late')
  expect(await Promise.all(answers)).toEqual([
    ...['first', 'second', 'shared', 'shared', 'shared', 'other'],
  ])
  expect(await late).toBe('late')
  expect(questions).toHaveLength(5)
})

test('a question that fails fails for those who share it, and the next one is asked', async () => {
  const { questions, lookUp } = setUp()
  const [first, second, third, fourth] = ['a', 'a', 'a', 'a'].map(lookUp)
  questions[0]?.answer.reject(new Error('away'))
  await expect(first).rejects.toThrow('away')
  await turn()
  questions[2]?.answer.reject(new Error('still'))
  await expect(third).rejects.toThrow('still')
  await expect(fourth).rejects.toThrow('still')
  questions[1]?.answer.resolve('second')
  expect(await second).toBe('second')
  const again = lookUp('a')
  questions[3]?.answer.resolve('again')
  expect(await again).toBe('again')
})
