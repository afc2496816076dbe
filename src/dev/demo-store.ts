import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import type { DemoDelivery, DemoStore } from './demo.ts'

/** The demo page's work in the database. */
export const createDemoStore = (database: Database): DemoStore => ({
  async publish(channel, payload, type) {
    const [row] = await runForClient(
      database,
      sql => sql<{ id: string }[]>`
        select kairan.publish(${channel}, ${payload}::text::jsonb, ${type}) as id`,
    )
    return row?.id ?? ''
  },
  deliveries: id =>
    database.run(async sql => [
      ...(await sql<DemoDelivery[]>`
        select channel, status, recipients, error from kairan.deliveries
        where notification_id = ${id} order by seq`),
    ]),
  setMember: async (channel, userId, isMember) => {
    await database.run(sql =>
      isMember
        ? sql`
            insert into kairan.members (channel, user_id) values (${channel}, ${userId})
            on conflict do nothing`
        : sql`delete from kairan.members where channel = ${channel} and user_id = ${userId}`,
    )
  },
  giveRole: async (userId, roleLevel) => {
    await database.run(
      sql => sql`
        insert into kairan.roles (user_id, role_level) values (${userId}, ${roleLevel})
        on conflict do nothing`,
    )
  },
})
