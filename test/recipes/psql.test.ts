import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../support/program.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'

const psql = [Bun.which('psql'), '/usr/lib/postgresql/15/bin/psql'].find(
  path => path !== null && existsSync(path),
)
// Never skipped in CI.
const skip = !psql && !process.env.CI
if (skip) console.warn('No psql: install the client of Postgres (postgresql-client) to test it.')

const folder = join(import.meta.dir, '../../docs/recipes/psql')

testRecipe(
  'psql',
  async url => {
    const base = [psql ?? 'psql', url, '-XqAt', '-v', 'ON_ERROR_STOP=1']
    const script = (file: string, variables: Record<string, string | number>) =>
      run([
        ...base,
        ...Object.entries(variables).flatMap(([name, value]) => ['-v', `${name}=${value}`]),
        ...['-f', join(folder, file)],
      ])
    return {
      placeOrder: (user_id, item) => script('place-order.sql', { user_id, item }),
      remind: (user_id, order_id) => script('remind.sql', { user_id, order_id }),
      announce: text => script('announce.sql', { text }),
      mistakes: {
        'to_jsonb of text': {
          make: () =>
            run(base, {
              input: `select kairan.publish('user-1', to_jsonb('{"orderId": 7}'::text))`,
            }),
          ...twice,
        },
        'channels without ::text[]': {
          make: () => run(base, { input: `select kairan.publish('{user-1,all-users}', '{}')` }),
          ...noArray,
        },
      },
      close: () => undefined,
    }
  },
  { skip },
)
