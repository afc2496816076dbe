import { connect, type Sql } from '../../src/postgres/connect.ts'
import type { Peer } from './peer.ts'
import { pinned } from './readers.ts'
import { benchDatabase, benchService } from './server.ts'

/**
 * Kairan on one core; Postgres and the readers on the other. Nothing is left out: tokens are verified, notifications
 * are rows, statuses are written.
 */
export const kairan = async ({
  settings = {},
  on = pinned(0),
}: {
  settings?: Record<string, string>
  on?: string[]
} = {}): Promise<Peer & { sql: Sql }> => {
  const database = await benchDatabase(settings)
  const service = await benchService(database.url, {}, on)
  const sql = connect(database.url, { max: 1, name: 'bench', direct: true })
  return {
    name: 'Kairan',
    url: service.url,
    path: '/notifications/stream',
    pids: [service.pid],
    sql,
    async publish(count, text) {
      await sql`
        insert into kairan.notifications (channels, payload)
        select array['all-users'], jsonb_build_object('text', ${text}::text) from generate_series(1, ${count}::int)`
    },
    async [Symbol.asyncDispose]() {
      await sql.end()
      await service[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}
