import { castToText, channelsAsText, encodedTwice } from '../../docs/recipes/mistakes.ts'
import * as recipe from '../../docs/recipes/postgres.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'

testRecipe('postgres', async url => {
  const sql = recipe.connect(url)
  return {
    placeOrder: (userId, item) => recipe.placeOrder(sql, userId, item),
    remind: (userId, orderId) => recipe.remind(sql, userId, orderId),
    announce: text => recipe.announce(sql, text),
    asText: async () => castToText.postgres(sql),
    mistakes: {
      'JSON.stringify': { make: () => encodedTwice.postgres(sql), ...twice },
      'channels without ::text[]': { make: () => channelsAsText.postgres(sql), ...noArray },
    },
    close: () => sql.end(),
  }
})
