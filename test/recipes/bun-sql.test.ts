import * as recipe from '../../docs/recipes/bun-sql.ts'
import { castToText, channelsAsText, encodedTwice } from '../../docs/recipes/mistakes.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'

testRecipe('Bun.sql', async url => {
  const sql = recipe.connect(url)
  return {
    placeOrder: (userId, item) => recipe.placeOrder(sql, userId, item),
    remind: (userId, orderId) => recipe.remind(sql, userId, orderId),
    announce: text => recipe.announce(sql, text),
    asText: async () => castToText.bun(sql),
    mistakes: {
      'JSON.stringify': { make: () => encodedTwice.bun(sql), ...twice },
      'channels without ::text[]': { make: () => channelsAsText.bun(sql), ...noArray },
    },
    close: () => sql.end(),
  }
})
