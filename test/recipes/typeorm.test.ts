import { expect, test } from 'bun:test'
import {
  castToText,
  channelsAsText,
  encodedTwice,
  synchronized,
} from '../../docs/recipes/mistakes.ts'
import * as recipe from '../../docs/recipes/typeorm.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'
import { shop } from '../support/shop.ts'

testRecipe('TypeORM', async url => {
  const source = await recipe.connect(url)
  return {
    placeOrder: (userId, item) => recipe.placeOrder(source, userId, item),
    remind: (userId, orderId) => recipe.remind(source, userId, orderId),
    announce: text => recipe.announce(source, text),
    announceOnce: async (text, key) => recipe.announceOnce(source, text, key),
    asText: () => castToText.typeorm(source),
    mistakes: {
      'JSON.stringify twice': { make: () => encodedTwice.typeorm(source), ...twice },
      'channels without ::text[]': { make: () => channelsAsText.typeorm(source), ...noArray },
    },
    close: () => source.destroy(),
  }
})

test('synchronize plans nothing for a table that is Kairan’s', async () => {
  await using open = await shop()
  const source = await recipe.connect(open.url)
  const plan = await source.driver.createSchemaBuilder().log()
  expect(plan.upQueries.map(({ query }) => query)).toEqual([])
  await source.destroy()

  // It is the recipe's `synchronize: false` that keeps it from that.
  const eager = await synchronized(open.url)
  const drops = (await eager.driver.createSchemaBuilder().log()).upQueries
  expect(drops.map(({ query }) => query).join('\n')).toContain('DROP INDEX "kairan".')
  await eager.destroy()
})
