import type { Auth } from './auth/auth.ts'
import type { CallerPlugin } from './auth/caller-routes.ts'
import type { Standings } from './auth/standing.ts'
import type { Tickets } from './auth/tickets.ts'
import { ticketRoute } from './auth/tickets-routes.ts'
import type { Config } from './config.ts'
import type { Delivery } from './delivery.ts'
import { createAddressOf } from './http/address.ts'
import { clientRoutes } from './http/client-assets.ts'
import type { Routes } from './http/server.ts'
import { createAsReader, createReaderOf } from './inbox/inbox.ts'
import { preferencesRoutes } from './inbox/preferences-routes.ts'
import { createPreferences } from './inbox/preferences-store.ts'
import { inboxRoutes } from './inbox/routes.ts'
import { createInbox } from './inbox/store.ts'
import type { Report } from './lib/report.ts'
import { createTurns } from './lib/turns.ts'
import type { Metrics } from './observe/metrics.ts'
import type { Traces } from './observe/traces.ts'
import type { Databases } from './postgres/databases.ts'
import { publishRoute } from './publish/routes.ts'
import { createPublisher } from './publish/store.ts'
import { withdrawRoute } from './publish/withdraw-routes.ts'
import { createWithdraw } from './publish/withdraw-store.ts'
import { streamChannelsRoute } from './stream/channel-routes.ts'
import { createRefusals, type Limits } from './stream/limits.ts'
import { createCarryAlso, createChange, createExtend } from './stream/presence-store.ts'
import { streamRoute } from './stream/routes.ts'
import { streamTokenRoute } from './stream/token-routes.ts'

/** What users and publishers ask for over HTTP. */
export const createApi = (
  config: Config,
  parts: {
    databases: Databases
    delivery: Delivery
    auth: Auth
    caller: CallerPlugin
    standings: Standings
    limits: Limits
    tickets: Tickets
    metrics: Metrics
    traces: Traces
    report: Report
    /** Why no stream can begin now; null when it can. */
    refusal(): string | null
  },
): { routes: Routes } => {
  const { databases, delivery, auth, caller, tickets, report } = parts
  const { maxChannels } = config
  const inbox = createInbox(databases.requests, { newUsersRead: config.newUsers === 'read' })
  // One request of a user for the inbox at a time.
  const turns = createTurns({ atOnce: 1, mostWaiting: 50, waitMs: 1500 })
  return {
    routes: [
      clientRoutes(),
      publishRoute({
        caller,
        publish: createPublisher(databases.requests),
        publishRate: config.publishRate,
        maxEventBytes: config.maxEventBytes,
        // Programs publish, many requests at a time with one token.
        turns: createTurns({ atOnce: 2, mostWaiting: 1000, waitMs: 1500 }),
        traces: parts.traces,
      }),
      withdrawRoute({
        caller,
        store: createWithdraw(databases.requests),
        publishRate: config.publishRate,
        turns: createTurns({ atOnce: 2, mostWaiting: 1000, waitMs: 1500 }),
      }),
      ticketRoute({ caller, tickets }),
      streamRoute({
        auth,
        tickets,
        streams: delivery.streams,
        limits: parts.limits,
        refusals: createRefusals(report, parts.metrics.streamRefused),
        addressOf: createAddressOf(config.trustedProxies),
        retryMs: config.retryMs,
        refusal: parts.refusal,
        report,
      }),
      streamTokenRoute({
        caller,
        streams: delivery.streams,
        extendElsewhere: createExtend(databases.shared),
      }),
      streamChannelsRoute({
        caller,
        streams: delivery.streams,
        changeElsewhere: createChange(databases.shared, maxChannels),
        carryAlsoElsewhere: createCarryAlso(databases.shared),
        maxChannels,
      }),
      inboxRoutes({
        caller,
        inbox,
        receipts: delivery.receipts,
        asReader: createAsReader(createReaderOf(parts.standings, config)),
        turns,
      }),
      preferencesRoutes({ caller, store: createPreferences(databases.requests), turns }),
    ],
  }
}
