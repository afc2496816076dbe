import * as recipe from '../../docs/recipes/kysely.ts'
import { castToText, channelsAsText, encodedTwice } from '../../docs/recipes/mistakes.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'

testRecipe('Kysely', async url => {
  const db = recipe.connect(url)
  return {
    placeOrder: (userId, item) => recipe.placeOrder(db, userId, item),
    remind: (userId, orderId) => recipe.remind(db, userId, orderId),
    announce: text => recipe.announce(db, text),
    asText: async () => castToText.kysely(db),
    mistakes: {
      'JSON.stringify': { make: () => encodedTwice.kysely(db), ...twice },
      'channels without ::text[]': { make: () => channelsAsText.kysely(db), ...noArray },
    },
    close: () => db.destroy(),
  }
})
