import { callerOf, pythonWith } from '../support/python.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'

const { python, skip } = await pythonWith('django, psycopg2', 'python3-django and python3-psycopg2')

testRecipe(
  'Django',
  async url => {
    const call = callerOf(python, 'django_driver.py', url)
    return {
      placeOrder: (userId, item) => call('place_order', userId, item),
      remind: (userId, orderId) => call('remind', userId, orderId),
      announce: text => call('announce', text),
      announceOnce: (text, key) => call('announce_once', text, key),
      mistakes: {
        'json.dumps for JSON': { make: () => call('encoded_twice'), ...twice },
        'channels without ::text[]': { make: () => call('channels_as_text'), ...noArray },
        'a dict': {
          make: () => call('plain_dict'),
          says: "can't adapt type 'dict'",
          advises: 'dict',
        },
      },
      close: () => undefined,
    }
  },
  { skip },
)
