import { castToText, channelsAsText, encodedTwice } from '../../docs/recipes/mistakes.ts'
import * as recipe from '../../docs/recipes/pg.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'

testRecipe('pg', async url => {
  const pool = recipe.connect(url)
  return {
    placeOrder: (userId, item) => recipe.placeOrder(pool, userId, item),
    remind: (userId, orderId) => recipe.remind(pool, userId, orderId),
    announce: text => recipe.announce(pool, text),
    asText: async () => castToText.pg(pool),
    mistakes: {
      'JSON.stringify': { make: () => encodedTwice.pg(pool), ...twice },
      'channels without ::text[]': { make: () => channelsAsText.pg(pool), ...noArray },
    },
    close: () => pool.end(),
  }
})
