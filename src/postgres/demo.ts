import postgres from 'postgres'
import type { DemoDelivery, DemoStore } from '../demo.ts'
import { KairanError } from '../errors.ts'
import type { Database } from './database.ts'

export const createDemoStore = (database: Database): DemoStore => ({
  async publish(channel, payload, type) {
    try {
      const [row] = await database.run(
        sql => sql<{ id: string }[]>`
          select kairan.publish(${channel}, ${payload}::text::jsonb, ${type}) as id`,
      )
      return row?.id ?? ''
    } catch (error) {
      throw forPublisher(error) ?? error
    }
  },
  deliveries: id =>
    database.run(async sql => [
      ...(await sql<DemoDelivery[]>`
        select channel, status, recipients, error from kairan.deliveries
        where notification_id = ${id} order by id`),
    ]),
  giveRole: async (userId, roleLevel) => {
    await database.run(
      sql => sql`
        insert into kairan.roles (user_id, role_level) values (${userId}, ${roleLevel})
        on conflict do nothing`,
    )
  },
})

/** Kairan's own messages, and that of broken JSON, are meant for whoever publishes; others are not. */
const forPublisher = (error: unknown) => {
  if (!(error instanceof postgres.PostgresError)) return null
  if (error.code === '22P02') return new KairanError('unprocessable', 'The payload is not JSON.')
  if (!error.message.startsWith('kairan: ')) return null
  return new KairanError('unprocessable', [error.message.slice(8), error.hint].join('. '))
}
