import { eq, sql } from 'drizzle-orm'
import {
  jsonb,
  type PgDatabase,
  type PgQueryResultHKT,
  pgSchema,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core'
import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import { orders, stock } from './drizzle.schema.ts'

export const connect = (url: string) => drizzle(url)

/** Not in the schema of drizzle-kit: it is Kairan that migrates it. */
export const notifications = pgSchema('kairan').table('notifications', {
  id: uuid().notNull().default(sql`default`),
  channels: text().array().notNull(),
  payload: jsonb().$type<object>().notNull(),
  type: text(),
  expiresAt: timestamp('expires_at', { withTimezone: true }),
})

/** An order, what is left of the item, and who should hear of it: all of it, or nothing. */
export const placeOrder = (db: PgDatabase<PgQueryResultHKT>, userId: string, item: string) =>
  db.transaction(async tx => {
    const [order] = await tx.insert(orders).values({ userId, item }).returning()
    if (!order) throw new Error('The order was not stored.')
    const [notification] = await tx
      .insert(notifications)
      .values({
        channels: [`user-${userId}`, 'admin-dashboard'],
        payload: { orderId: order.id, item },
        type: 'order.placed',
      })
      .returning({ id: notifications.id })
    // When none is left this fails, and nobody hears of an order that there is not.
    await tx
      .update(stock)
      .set({ count: sql`${stock.count} - 1` })
      .where(eq(stock.item, item))
    return notification?.id
  })

/** May run as often as it likes: with the same key it is published once, and has one id. */
export const remind = async (db: PostgresJsDatabase, userId: string, orderId: number) => {
  const [published] = await db.execute<{ id: string }>(sql`
    select kairan.publish(
      ${`user-${userId}`}, ${JSON.stringify({ orderId })}::text::jsonb,
      type => 'order.reminder', dedupe_key => ${`order-${orderId}-reminder`}
    ) as id`)
  return published?.id
}

/** Several channels of a function: sql.param keeps them one text[]. */
export const announce = async (db: PostgresJsDatabase, text: string) => {
  const [published] = await db.execute<{ id: string }>(sql`
    select kairan.publish(
      ${sql.param(['all-users'])}::text[], ${JSON.stringify({ text })}::text::jsonb, type => 'news'
    ) as id`)
  return published?.id
}
