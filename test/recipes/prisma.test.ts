import { castToText, channelsAsText, encodedTwice } from '../../docs/recipes/mistakes.ts'
import * as recipe from '../../docs/recipes/prisma.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'

testRecipe('Prisma', async url => {
  const prisma = recipe.connect(url)
  return {
    placeOrder: (userId, item) => recipe.placeOrder(prisma, userId, item),
    remind: (userId, orderId) => recipe.remind(prisma, userId, orderId),
    announce: text => recipe.announce(prisma, text),
    asText: async () => castToText.prisma(prisma),
    mistakes: {
      'JSON.stringify': { make: () => encodedTwice.prisma(prisma), ...twice },
      'channels without ::text[]': { make: () => channelsAsText.prisma(prisma), ...noArray },
    },
    close: () => prisma.$disconnect(),
  }
})
