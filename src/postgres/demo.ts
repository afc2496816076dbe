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

/** Kairan's own messages are meant for whoever publishes; those of Postgres are not. */
const forPublisher = (error: unknown) => {
  if (!(error instanceof postgres.PostgresError)) return null
  const { code, message, hint } = error
  const reason = unreadable[code]
  if (reason) return new KairanError('unprocessable', reason)
  if (!/^(22023|54000)$/.test(code) || !message.startsWith('kairan: ')) return null
  return new KairanError('unprocessable', [message.slice(8), hint].filter(Boolean).join('. '))
}

/** Why Postgres can not take something as text or as jsonb, by SQLSTATE. */
const unreadable: Record<string, string> = {
  '22P02': 'The payload is not JSON.',
  '22P05': 'Postgres can not store the character U+0000.',
  '22021': 'Postgres can not store the character U+0000.',
  '22003': 'The payload has a number that is too large for Postgres.',
  '54001': 'The payload is nested too deeply.',
}
