import { expect, test } from 'bun:test'
import { createBatchLookup } from '../../src/lib/batch-lookup.ts'

const setUp = (soon?: (begin: () => void) => void) => {
  const questions: { keys: string[]; answer: PromiseWithResolvers<(key: string) => string> }[] = []
  const gather = createBatchLookup<string>(
    keys => {
      const answer = Promise.withResolvers<(key: string) => string>()
      questions.push({ keys, answer })
      return answer.promise
    },
    3,
    soon,
  )
  return { questions, gather }
}
const atOnce = (begin: () => void) => begin()
const turn = () => new Promise<void>(resolve => setImmediate(resolve))

test('asks at once for the first, and for all who came meanwhile together, a bounded number at a time', async () => {
  const { questions, gather } = setUp(atOnce)
  const answers = ['a', 'b', 'c', 'd', 'e'].map(gather)
  expect(questions.map(({ keys }) => keys)).toEqual([['a']])
  for (let n = 0; n < 3; n++) {
    questions[n]?.answer.resolve(key => `${key}${n}`)
    await turn()
  }
  expect(questions.map(({ keys }) => keys)).toEqual([['a'], ['b', 'c', 'd'], ['e']])
  expect(await Promise.all(answers)).toEqual(['a0', 'b1', 'c1', 'd1', 'e2'])
})

test('a question that fails fails for those in it, and for nobody else', async () => {
  const { questions, gather } = setUp(atOnce)
  const first = gather('a')
  const second = gather('b')
  questions[0]?.answer.reject(new Error('away'))
  await expect(first).rejects.toThrow('away')
  await turn()
  questions[1]?.answer.resolve(key => key)
  expect(await second).toBe('b')
})

test('asks for all of one turn of the event loop together, unless told otherwise', async () => {
  const { questions, gather } = setUp()
  const answers = ['a', 'b'].map(gather)
  await Promise.resolve()
  answers.push(gather('c'))
  expect(questions).toEqual([])
  await turn()
  expect(questions.map(({ keys }) => keys)).toEqual([['a', 'b', 'c']])
  questions[0]?.answer.resolve(key => key)
  expect(await Promise.all(answers)).toEqual(['a', 'b', 'c'])
})
