import postgres, { type Sql } from 'postgres'

/** Behind a transaction pooler older than PgBouncer 1.21: `prepare: false`. */
export const connect = (url: string) => postgres(url)

/** An order, what is left of the item, and who should hear of it: all of it, or nothing. */
export const placeOrder = (sql: Sql, userId: string, item: string) =>
  sql.begin(async tx => {
    const [order] = await tx<{ id: number }[]>`
      insert into orders (user_id, item) values (${userId}, ${item}) returning id`
    if (!order) throw new Error('The order was not stored.')
    const [published] = await tx<{ id: string }[]>`
      select kairan.publish(
        ${[`user-${userId}`, 'admin-dashboard']}::text[],
        ${tx.json({ orderId: order.id, item })},
        type => 'order.placed'
      ) as id`
    // When none is left this fails, and nobody hears of an order that there is not.
    await tx`update stock set count = count - 1 where item = ${item}`
    return published?.id
  })

/** May run as often as it likes: with the same key it is published once, and has one id. */
export const remind = async (sql: Sql, userId: string, orderId: number) => {
  const [published] = await sql<{ id: string }[]>`
    select kairan.publish(
      ${`user-${userId}`}, ${sql.json({ orderId })},
      type => 'order.reminder', dedupe_key => ${`order-${orderId}-reminder`}
    ) as id`
  return published?.id
}

/** The same as a row. */
export const announce = async (sql: Sql, text: string) => {
  const [notification] = await sql<{ id: string }[]>`
    insert into kairan.notifications (channels, payload, type)
    values (${['all-users']}, ${sql.json({ text })}, 'news')
    returning id`
  return notification?.id
}
