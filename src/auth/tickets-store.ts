import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import type { Grant, TicketStore } from './tickets.ts'

/** Stores tickets in `kairan.tickets` for all instances. Times are those of the database's clock. */
export const createTicketStore = (database: Database): TicketStore => ({
  async add(hash, { userId, channels, expiresAt, subscribes }, seconds) {
    const [row] = await runForClient(
      database,
      sql => sql<{ ends_at: Date }[]>`
        insert into kairan.tickets (hash, user_id, channels, subscribes, token_expires_at, ends_at)
        values (
          decode(${hash}, 'hex'), ${userId}, ${channels === null ? null : sql.json(channels)},
          ${sql.json([...subscribes])},
          to_timestamp(${expiresAt}), least(to_timestamp(${expiresAt}), ${after(sql, seconds)})
        )
        returning ends_at`,
    )
    if (!row) throw new Error('kairan.tickets took no ticket')
    return row.ends_at
  },
  // One guarded statement: of two requests with the same ticket, the second one finds it spent.
  spend: (hash, proof, seconds) =>
    first(
      runForClient(
        database,
        sql => sql<Grant[]>`
          update kairan.tickets
          set proof = decode(${proof}, 'hex'), ends_at = least(token_expires_at, ${after(sql, seconds)}),
            released_until = null
          where hash = decode(${hash}, 'hex') and (proof is null or released_until > now()) and ends_at > now()
          returning ${grant(sql)}`,
      ),
    ),
  renew: (hash, proof, seconds) =>
    first(
      runForClient(
        database,
        sql => sql<Grant[]>`
          update kairan.tickets
          set ends_at = least(token_expires_at, ${after(sql, seconds)}), released_until = '-infinity'
          where hash = decode(${hash}, 'hex') and proof = decode(${proof}, 'hex') and ends_at > now()
          returning ${grant(sql)}`,
      ),
    ),
  async forget(proof) {
    await runForClient(
      database,
      sql => sql`delete from kairan.tickets where proof = decode(${proof}, 'hex')`,
    )
  },
  // It runs on its own: its browser may have returned with the proof meanwhile.
  async release(proof, seconds) {
    await database.run(
      sql => sql`
        update kairan.tickets set released_until = ${after(sql, seconds)}
        where proof = decode(${proof}, 'hex') and released_until is null`,
    )
  },
  async extend(proof, { expiresAt, subscribes }, seconds) {
    await database.run(
      sql => sql`
        update kairan.tickets
        set token_expires_at = to_timestamp(${expiresAt}), subscribes = ${sql.json([...subscribes])},
          ends_at = least(to_timestamp(${expiresAt}), ${after(sql, seconds)})
        where proof = decode(${proof}, 'hex')`,
    )
  },
})

const after = (sql: Sql, seconds: number) => sql`now() + make_interval(secs => ${seconds})`

const grant = (sql: Sql) => sql`
  user_id as "userId", channels, subscribes, extract(epoch from token_expires_at)::float8 as "expiresAt"`

const first = async (rows: Promise<Grant[]>) => (await rows)[0] ?? null
