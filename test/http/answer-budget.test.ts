import { expect, test } from 'bun:test'
import { createAnswerBudget } from '../../src/http/answer-budget.ts'

const text = 'x'.repeat(100_000)

const codeOf = (work: () => void) => {
  try {
    work()
    return 'allowed'
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
}

test('counts an answer until it was read or left, for its user and in all', async () => {
  const budget = createAnswerBudget({ mostBytes: 250_000, mostBytesPerUser: 150_000 })
  const [first, second, third] = ['a', 'a', 'b'].map(user => {
    budget.require(user)
    return budget.respond(user, text, {})
  })
  expect(codeOf(() => budget.require('a'))).toBe('rate_limited')
  expect(codeOf(() => budget.require('c'))).toBe('unavailable')

  expect(await first?.text()).toBe(text)
  expect(codeOf(() => budget.require('a'))).toBe('allowed')
  expect(codeOf(() => budget.require('c'))).toBe('allowed')
  await second?.body?.cancel()
  await third?.body?.cancel()
  budget.require('a')
  budget.respond('a', text, {})
  expect(codeOf(() => budget.require('a'))).toBe('allowed')
})

test('does not count what fits into the buffers of a socket', async () => {
  const budget = createAnswerBudget({ mostBytes: 1, mostBytesPerUser: 1 })
  expect(await budget.respond('a', 'small', { 'x-y': 'z' }).text()).toBe('small')
  expect(codeOf(() => budget.require('a'))).toBe('allowed')
})
