import { join } from 'node:path'
import { run } from '../support/program.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'

/** Debian's package belongs to Debian's Python, which is not always the first. */
const findPython = async () => {
  for (const python of [process.env.PYTHON, 'python3', '/usr/bin/python3']) {
    if (!python) continue
    const imported = await run([python, '-c', 'import psycopg']).catch(() => null)
    if (imported !== null) return python
  }
  return undefined
}

const python = await findPython()
// Never skipped in CI.
const skip = !python && !process.env.CI
if (skip) console.warn('No psycopg: install python3-psycopg, or set PYTHON, to test it.')

const driver = join(import.meta.dir, '../support/psycopg_driver.py')

testRecipe(
  'psycopg',
  async url => {
    const call = (name: string, ...args: (string | number)[]) =>
      run([python ?? 'python3', driver, url, name, JSON.stringify(args)])
    return {
      placeOrder: (userId, item) => call('place_order', userId, item),
      remind: (userId, orderId) => call('remind', userId, orderId),
      announce: text => call('announce', text),
      mistakes: {
        'Jsonb of json.dumps': { make: () => call('encoded_twice'), ...twice },
        'channels without ::text[]': { make: () => call('channels_as_text'), ...noArray },
        'a dict': {
          make: () => call('plain_dict'),
          says: "cannot adapt type 'dict'",
          advises: 'dict',
        },
      },
      close: () => undefined,
    }
  },
  { skip },
)
