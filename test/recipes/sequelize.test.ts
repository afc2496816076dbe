import { castToText, channelsAsText, encodedTwice } from '../../docs/recipes/mistakes.ts'
import * as recipe from '../../docs/recipes/sequelize.ts'
import { noArray, testRecipe, twice } from '../support/recipe.ts'

testRecipe('Sequelize', async url => {
  const sequelize = recipe.connect(url)
  const notifications = recipe.defineNotifications(sequelize)
  return {
    placeOrder: (userId, item) => recipe.placeOrder(sequelize, userId, item),
    remind: (userId, orderId) => recipe.remind(sequelize, userId, orderId),
    announce: text => recipe.announce(notifications, text),
    announceOnce: async (text, key) => recipe.announceOnce(notifications, text, key),
    asText: async () => castToText.sequelize(sequelize),
    mistakes: {
      'JSON.stringify twice': { make: () => encodedTwice.sequelize(sequelize), ...twice },
      'all columns asked for': {
        make: () => notifications.create({ channels: ['all-users'], payload: {} }),
        says: 'permission denied for table notifications',
        advises: 'RETURNING "id","channels"',
      },
      'channels without ::text[]': { make: () => channelsAsText.sequelize(sequelize), ...noArray },
    },
    close: () => sequelize.close(),
  }
})
