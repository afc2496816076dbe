import { sql } from 'drizzle-orm'
import { check, integer, pgTable, text } from 'drizzle-orm/pg-core'

export const orders = pgTable('orders', {
  id: integer().primaryKey().generatedAlwaysAsIdentity(),
  userId: text('user_id').notNull(),
  item: text().notNull(),
  status: text().notNull().default('placed'),
})

export const stock = pgTable(
  'stock',
  { item: text().primaryKey(), count: integer().notNull() },
  table => [check('enough', sql`${table.count} >= 0`)],
)
