/** Loaded before all tests: a test in which an answer is not as the API is described fails. */
import { afterEach } from 'bun:test'
import { describeFetch, takeWrong } from './described.ts'

describeFetch()

afterEach(async () => {
  const wrong = await takeWrong()
  if (wrong.length > 0) throw new Error(`Not as the API is described:\n${wrong.join('\n')}`)
})
