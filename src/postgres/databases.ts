import { createDatabase, type Database } from './database.ts'
import { createPrimary, type Primary } from './primary.ts'

/** The connections of one process, by who waits for whom. */
export type Databases = {
  /** For what opens and keeps streams. */
  shared: Database
  /** For requests: streams open while these wait for the lock of another transaction. */
  requests: Database
  /** For the dispatcher alone. */
  dispatcher: Database
  /** For what the instance that numbers tells the others. Connects only there. */
  relay: Database
  /** Leads to Postgres itself, without a pooler. */
  directUrl: string
  /** The server that all connections have to lead to. */
  primary: Primary
  /** Makes the connections anew, but for that of the dispatcher, which finds out what is new. */
  renew(): void
  stop(): Promise<void>
}

/** Opens connections when they are first needed. `listenUrl` is direct, when `url` leads through a pooler. */
export const createDatabases = (options: {
  url: string
  listenUrl: string | null
  /** How many processes share what one would use. */
  workers: number
  /** Whether SQL of the operator's runs on `shared`. */
  applicationSql: boolean
}): Databases => {
  const { url, listenUrl, workers } = options
  const max = Math.max(2, Math.ceil(6 / workers))
  const direct = listenUrl === null
  const directUrl = listenUrl ?? url
  const primary = createPrimary()
  const shared = createDatabase(url, {
    judge: primary.follow,
    max,
    name: 'kairan',
    direct,
    applicationSql: options.applicationSql,
    deadlineMs: 10_000,
  })
  // The two limits and the wait for a turn (see api.ts) add up to less than 6 s.
  const requests = createDatabase(url, {
    judge: primary.follow,
    max,
    name: 'kairan requests',
    direct,
    placeMs: 1200,
    deadlineMs: 3200,
  })
  const dispatcher = createDatabase(directUrl, {
    judge: primary.lead,
    max: 1,
    name: 'kairan dispatcher',
    direct: true,
    deadlineMs: 3000,
  })
  const relay = createDatabase(url, {
    judge: primary.follow,
    max: 1,
    name: 'kairan relay',
    direct,
    idleSeconds: 60,
    deadlineMs: 3000,
  })
  primary.onDoubt(dispatcher.renew)
  return {
    shared,
    requests,
    dispatcher,
    relay,
    directUrl,
    primary,
    renew() {
      shared.renew()
      requests.renew()
      relay.renew()
    },
    async stop() {
      await Promise.all([shared, requests, dispatcher, relay].map(database => database.stop()))
    },
  }
}
