import { type Generated, Kysely, PostgresDialect, sql } from 'kysely'
import { connect as connectPool } from './pg.ts'

/** The columns that you write; `id` is Kairan's default. */
type Notification = {
  id: Generated<string>
  channels: string[]
  payload: object
  type: string | null
}

export type Database = {
  orders: { id: Generated<number>; user_id: string; item: string }
  stock: { item: string; count: number }
  'kairan.notifications': Notification
}

export const connect = (url: string) =>
  new Kysely<Database>({ dialect: new PostgresDialect({ pool: connectPool(url) }) })

/** An order, what is left of the item, and who should hear of it: all of it, or nothing. */
export const placeOrder = (db: Kysely<Database>, userId: string, item: string) =>
  db.transaction().execute(async tx => {
    const order = await tx
      .insertInto('orders')
      .values({ user_id: userId, item })
      .returning('id')
      .executeTakeFirstOrThrow()
    const published = await sql<{ id: string }>`
      select kairan.publish(
        ${[`user-${userId}`, 'admin-dashboard']}::text[],
        ${{ orderId: order.id, item }},
        type => 'order.placed'
      ) as id`.execute(tx)
    // When none is left this fails, and nobody hears of an order that there is not.
    await tx
      .updateTable('stock')
      .set(row => ({ count: row('count', '-', 1) }))
      .where('item', '=', item)
      .execute()
    return published.rows[0]?.id
  })

/** May run as often as it likes: with the same key it is published once, and has one id. */
export const remind = async (db: Kysely<Database>, userId: string, orderId: number) => {
  const published = await sql<{ id: string }>`
    select kairan.publish(
      ${`user-${userId}`}, ${{ orderId }},
      type => 'order.reminder', dedupe_key => ${`order-${orderId}-reminder`}
    ) as id`.execute(db)
  return published.rows[0]?.id
}

/** The same as a row. */
export const announce = async (db: Kysely<Database>, text: string) => {
  const notification = await db
    .insertInto('kairan.notifications')
    .values({ channels: ['all-users'], payload: { text }, type: 'news' })
    .returning('id')
    .executeTakeFirst()
  return notification?.id
}
