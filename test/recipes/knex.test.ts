import * as recipe from '../../docs/recipes/knex.ts'
import { castToText, channelsAsText, encodedTwice } from '../../docs/recipes/mistakes.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'

testRecipe('Knex', async url => {
  const knex = recipe.connect(url)
  return {
    placeOrder: (userId, item) => recipe.placeOrder(knex, userId, item),
    remind: (userId, orderId) => recipe.remind(knex, userId, orderId),
    announce: text => recipe.announce(knex, text),
    announceOnce: async (text, key) => recipe.announceOnce(knex, text, key),
    asText: async () => castToText.knex(knex),
    mistakes: {
      'JSON.stringify twice': { make: async () => encodedTwice.knex(knex), ...twice },
      'channels without ::text[]': { make: async () => channelsAsText.knex(knex), ...noArray },
    },
    close: () => knex.destroy(),
  }
})
