import type { Database } from '../postgres/database.ts'

/** Whether other instances serve, who have to be woken when this one has numbered something. */
export type Peers = {
  present(): boolean
  /** An instance has begun to listen. */
  arrived(): void
}

/** How old the answer may be. */
const refreshMs = 2000

/**
 * Looks into `kairan.instances` now and then: not each time, since every instance writes its row there again
 * and again, and under a snapshot that somebody holds all those versions stay. Until it is known, and
 * whenever it can't be known, there are others: to wake nobody costs less than to let somebody wait.
 */
export const createPeers = ({
  database,
  instanceId,
}: {
  database: Database
  instanceId: string
}): Peers => {
  let present = true
  let askedAt = Number.NEGATIVE_INFINITY

  const refresh = async () => {
    askedAt = performance.now()
    try {
      const [row] = await database.run(
        sql => sql<{ present: boolean }[]>`
          select exists (
            select from kairan.instances
            where id <> ${instanceId} and seen_at > now() - interval '10 seconds'
          ) as present`,
      )
      present = row?.present ?? true
    } catch {
      // Whoever uses this database reports that it can't be reached.
      present = true
    }
  }

  return {
    present() {
      if (performance.now() - askedAt > refreshMs) void refresh()
      return present
    },
    arrived() {
      present = true
      askedAt = performance.now()
    },
  }
}

/** Tells the instances that listen that one more does. */
export const announce = (database: Database) =>
  database.run(sql => sql`select pg_notify('kairan_log', ${arrival})`)

/** What is sent on the notify channel of the log when an instance has begun to listen. */
export const arrival = 'here'
