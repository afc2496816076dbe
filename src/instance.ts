import { createApi } from './api.ts'
import { type Auth, createAuth } from './auth/auth.ts'
import { createCaller } from './auth/caller-routes.ts'
import type { Identify } from './auth/identify.ts'
import { createRemoteKeys } from './auth/jwks.ts'
import { createOriginGuard } from './auth/origins.ts'
import { createOwnAuth } from './auth/own-sign-in.ts'
import { defaultRoleLevelQuery } from './auth/roles.ts'
import { createStandings } from './auth/standing-store.ts'
import { createTickets } from './auth/tickets.ts'
import { createTicketStore } from './auth/tickets-store.ts'
import type { Config } from './config.ts'
import { createDelivery } from './delivery.ts'
import { countFollowUps } from './follow-up/counts-store.ts'
import { createApp, type Routes } from './http/server.ts'
import { KairanError } from './lib/errors.ts'
import type { Report } from './lib/report.ts'
import { version } from './lib/version.ts'
import { queueUsage } from './log/listener.ts'
import { countScheduled } from './log/scheduled-counts-store.ts'
import { createClock } from './observe/clock.ts'
import { createTraces } from './observe/lazy-traces.ts'
import { createMetrics } from './observe/metrics.ts'
import { createOperations } from './operations.ts'
import { createDatabases } from './postgres/databases.ts'
import { prepare } from './postgres/prepare.ts'
import { createPublisher } from './publish/store.ts'
import { createWithdraw } from './publish/withdraw-store.ts'
import type { Relay } from './relay/relay.ts'
import { createLimits } from './stream/limits.ts'

export type InstanceOptions = {
  /** The address that it will listen on; null within another program. */
  host: string | null
  /** What the paths of its routes begin with: empty, or like `/kairan`. */
  prefix?: string
  demo?: boolean
  /** The sign-in of the application. Without it, tokens count. */
  identify?: Identify
  /** What carries batches between instances; by default what RELAY_URL names, or Postgres. */
  relay?: Relay | undefined
  /** When several processes share the port: the number of this one, and the metrics of the others. */
  worker?: { number: number; others(): object[] }
}

/** Kairan without a port: its parts, connected, and an application of their routes. */
export type Instance = ReturnType<typeof createInstance>

/** All parts: each is there before the next one needs it. Nothing connects before `start`. */
export const createInstance = (config: Config, report: Report, options: InstanceOptions) => {
  const phase = createPhase()
  const instanceId = crypto.randomUUID()
  const databases = createDatabases({
    url: config.databaseUrl,
    listenUrl: config.databaseListenUrl,
    workers: config.workers,
    applicationSql: config.roleLevelQuery !== defaultRoleLevelQuery || config.channelsQuery !== '',
  })
  const clock = createClock()
  const metrics = createMetrics({
    version,
    worker: options.worker?.number,
    queueUsage: () => queueUsage(databases.shared),
    followUps: () => countFollowUps(databases.shared),
    scheduled: () => countScheduled(databases.shared),
    databaseAheadMs: () => clock.aheadMs,
  })
  const traces = createTraces({
    endpoint: config.otelExporterOtlpEndpoint,
    serviceName: config.otelServiceName,
    version,
    instanceId,
    report,
    onLost: metrics.tracesLost,
  })
  const auth = authOf(config, report, options.identify)
  const caller = createCaller({ identify: auth.identify, requireStarted: phase.requireStarted })
  const standings = createStandings(databases.shared, config)
  const limits = createLimits({
    maxStreams: config.maxStreams,
    maxPerAddress: config.maxStreamsPerAddress,
  })
  const tickets = createTickets({
    store: createTicketStore(databases.shared),
    maxStreamAgeMs: config.maxStreamAgeMs,
  })
  const shared = { databases, standings, limits, tickets, metrics, traces, report }
  const { relay } = options
  const delivery = createDelivery(config, { ...shared, instanceId, clock, relay })
  const reasons = () => [phase.refusal(), ...delivery.problems()].filter(reason => reason !== null)
  metrics.watch(() => ({ ...delivery.state(), problem: reasons().join('; ') || null }))
  const api = createApi(config, { ...shared, delivery, auth, caller, refusal: phase.refusal })
  const operations = createOperations(config, {
    database: databases.requests,
    auth,
    caller,
    metrics,
    readableOf: delivery.streams.readableOf,
    report,
    reasons,
    notes: delivery.notes,
    isDemo: options.demo === true,
    prefix: options.prefix ?? '',
    signsIn: options.identify === undefined,
    others: options.worker?.others ?? (() => []),
  })
  const routes: Routes = [...operations.routes, ...api.routes]
  let isStopped = false

  return {
    app: createApp({
      host: options.host,
      prefix: options.prefix ?? '',
      corsOrigins: config.corsOrigins,
      allowedHosts: config.allowedHosts,
      report,
      isDraining: () => phase.isDraining,
      refused: metrics.authFailed,
      routes,
    }),
    /** Resolves when it is ready. Rejects when the schema can't be brought up to date. */
    async start() {
      await traces.start()
      const { maxEventBytes } = config
      await prepare({ databaseUrl: databases.directUrl, maxEventBytes }, report, () => isStopped)
      if (isStopped) return
      await delivery.start()
      phase.run()
      for (const { name, error } of await standings.check()) {
        report.error(
          { name, error },
          'A query of the settings is refused: no stream can be opened.',
        )
      }
      operations.history.start()
    },
    /** Begins no more streams. */
    refuse() {
      phase.drain()
      isStopped = true
    },
    /** Ends the streams within `ms`. */
    drain: (ms: number) => delivery.streams.drain(ms),
    /** Sends heartbeats at least this often from now on. */
    heartbeatWithin: delivery.streams.heartbeatWithin,
    /** Writes what is left to write, and closes everything. */
    async stop() {
      await Promise.all([delivery.stop(), operations.history.stop()])
      await Promise.all([databases.stop(), traces.stop()])
    },
    reasons,
    publish: createPublisher(databases.requests),
    withdraw: createWithdraw(databases.requests).withdraw,
    state: delivery.state,
    metrics: metrics.data,
  }
}

/** The application's sign-in, if it has one; else tokens. */
const authOf = (config: Config, report: Report, identify: Identify | undefined): Auth => {
  const guard = createOriginGuard(config.corsOrigins)
  if (identify) return createOwnAuth({ identify, guard, report })
  return createAuth({
    secrets: config.jwtSecrets,
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
    cookie: config.authCookie,
    keys: config.jwtJwksUrl === null ? null : createRemoteKeys(config.jwtJwksUrl, report),
    guard,
  })
}

/** Where the service is between its start and its stop. */
const createPhase = () => {
  let now: 'starting' | 'running' | 'draining' = 'starting'
  return {
    get isDraining() {
      return now === 'draining'
    },
    /** Why no stream can begin now; null when it can. */
    refusal: () => (now === 'running' ? null : now),
    /** Throws while there may be no table to read or to write. */
    requireStarted() {
      if (now !== 'starting') return
      throw new KairanError('unavailable', 'The service is starting. Try again soon.', {
        retryAfter: 1,
      })
    },
    /** It is ready, unless it was told to stop meanwhile. */
    run() {
      if (now === 'starting') now = 'running'
    },
    drain() {
      now = 'draining'
    },
  }
}
