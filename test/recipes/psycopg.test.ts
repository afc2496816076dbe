import { callerOf, pythonWith } from '../support/python.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'

const { python, skip } = await pythonWith('psycopg', 'python3-psycopg')

testRecipe(
  'psycopg',
  async url => {
    const call = callerOf(python, 'psycopg_driver.py', url)
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
