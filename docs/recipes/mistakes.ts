import type { SQL } from 'bun'
import { sql as drizzleSql } from 'drizzle-orm'
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type { Knex } from 'knex'
import { type Kysely, sql as kyselySql } from 'kysely'
import type { Pool } from 'pg'
import type { Sql } from 'postgres'
import type { Sequelize } from 'sequelize'
import { DataSource, EntitySchema } from 'typeorm'
import { notifications } from './drizzle.ts'
import type { Database } from './kysely.ts'
import type { PrismaClient } from './prisma/client/client.ts'
import { Notification } from './typeorm.ts'

const text = JSON.stringify({ orderId: 7 })
const channels = ['user-1', 'all-users']

/** Right with every client: the parameter is text for each of them. */
export const castToText = {
  postgres: (sql: Sql) => sql`select kairan.publish('user-6', ${text}::text::jsonb)`,
  bun: (sql: SQL) => sql`select kairan.publish('user-6', ${text}::text::jsonb)`,
  drizzle: (db: PostgresJsDatabase) =>
    db.execute(drizzleSql`select kairan.publish('user-6', ${text}::text::jsonb)`),
  pg: (pool: Pool) => pool.query(`select kairan.publish('user-6', $1::text::jsonb)`, [text]),
  kysely: (db: Kysely<Database>) =>
    kyselySql`select kairan.publish('user-6', ${text}::text::jsonb)`.execute(db),
  prisma: (prisma: PrismaClient) =>
    prisma.$queryRaw`select kairan.publish('user-6', ${text}::text::jsonb)`,
  knex: (knex: Knex) => knex.raw(`select kairan.publish('user-6', ?::text::jsonb)`, [text]),
  sequelize: (sequelize: Sequelize) =>
    sequelize.query(`select kairan.publish('user-6', $text::text::jsonb)`, { bind: { text } }),
  typeorm: (source: DataSource) =>
    source.query(`select kairan.publish('user-6', $1::text::jsonb)`, [text]),
}

// From here on each is refused. It is a test that they are, and that the answer says why.

/** These clients encode what goes to a jsonb parameter: text becomes a JSON string. */
export const encodedTwice = {
  postgres: (sql: Sql) => sql`select kairan.publish('user-1', ${text}::jsonb)`,
  bun: (sql: SQL) => sql`select kairan.publish('user-1', ${text}::jsonb)`,
  // @ts-expect-error: its types refuse it too, as the column is jsonb().$type<object>().
  drizzle: (db: PostgresJsDatabase) => db.insert(notifications).values({ channels, payload: text }),
  // These send text as it is. It has to be encoded twice by hand.
  pg: (pool: Pool) => pool.query(`select kairan.publish('user-1', $1)`, [JSON.stringify(text)]),
  kysely: (db: Kysely<Database>) =>
    kyselySql`select kairan.publish('user-1', ${JSON.stringify(text)})`.execute(db),
  prisma: (prisma: PrismaClient) =>
    prisma.$queryRaw`select kairan.publish('user-1', ${JSON.stringify(text)}::jsonb)::text`,
  knex: (knex: Knex) =>
    knex('kairan.notifications').insert({ channels, payload: JSON.stringify(text) }),
  sequelize: (sequelize: Sequelize) =>
    sequelize.query(`select kairan.publish('user-1', $twice)`, {
      bind: { twice: JSON.stringify(text) },
    }),
  // It encodes what goes into a jsonb column of an entity.
  typeorm: (source: DataSource) =>
    source.getRepository(Notification).insert({ channels, payload: Object(text) }),
}

/** Without `::text[]` Postgres takes the parameter for the one channel of publish(text, …). */
export const channelsAsText = {
  postgres: (sql: Sql) => sql`select kairan.publish(${channels}, '{}')`,
  bun: (sql: SQL) => sql`select kairan.publish(${channels}, '{}')`,
  pg: (pool: Pool) => pool.query(`select kairan.publish($1, '{}')`, [channels]),
  kysely: (db: Kysely<Database>) => kyselySql`select kairan.publish(${channels}, '{}')`.execute(db),
  prisma: (prisma: PrismaClient) =>
    prisma.$queryRaw`select kairan.publish(${channels}, '{}')::text`,
  knex: (knex: Knex) => knex.raw(`select kairan.publish(?, '{}')`, [channels]),
  sequelize: (sequelize: Sequelize) =>
    sequelize.query(`select kairan.publish($channels, '{}')`, { bind: { channels } }),
  typeorm: (source: DataSource) => source.query(`select kairan.publish($1, '{}')`, [channels]),
}

/** Drizzle makes a list of parameters of it, a record: no such function exists. */
export const channelsAsRecord = (db: PostgresJsDatabase) =>
  db.execute(drizzleSql`select kairan.publish(${channels}, '{}')`)

/** TypeORM then plans to drop what the entity does not have. */
export const synchronized = (url: string) => {
  const entities = [new EntitySchema({ ...Notification.options, synchronize: true })]
  return new DataSource({ type: 'postgres', url, entities }).initialize()
}
