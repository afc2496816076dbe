import createKnex, { type Knex } from 'knex'

export const connect = (url: string) => createKnex({ client: 'pg', connection: url })

/** An order, what is left of the item, and who should hear of it: all of it, or nothing. */
export const placeOrder = async (knex: Knex, userId: string, item: string) =>
  knex.transaction(async tx => {
    const [order] = await tx('orders').insert({ user_id: userId, item }).returning('id')
    const published = await tx.raw(
      `select kairan.publish(?::text[], ?::jsonb, type => 'order.placed') as id`,
      [[`user-${userId}`, 'admin-dashboard'], { orderId: order?.id, item }],
    )
    // When none is left this fails, and nobody hears of an order that there is not.
    await tx('stock').where({ item }).decrement('count', 1)
    return idOf(published)
  })

/** May run as often as it likes: with the same key it is published once, and has one id. */
export const remind = async (knex: Knex, userId: string, orderId: number) => {
  const published = await knex.raw(
    `select kairan.publish(?, ?::jsonb, type => 'order.reminder', dedupe_key => ?) as id`,
    [`user-${userId}`, { orderId }, `order-${orderId}-reminder`],
  )
  return idOf(published)
}

/** The same as a row. */
export const announce = async (knex: Knex, text: string) => {
  const [notification] = await knex('kairan.notifications')
    .insert({ channels: ['all-users'], payload: { text }, type: 'news' })
    .returning('id')
  return String(notification?.id)
}

/** A row that is left out if its key was used before. It has no id to return then. */
export const announceOnce = (knex: Knex, text: string, key: string) =>
  knex('kairan.notifications')
    .insert({ channels: ['all-users'], payload: { text }, type: 'news', dedupe_key: key })
    .onConflict()
    .ignore()

/** A raw query answers as its driver does. */
const idOf = (published: { rows: { id: string }[] }) => published.rows[0]?.id
