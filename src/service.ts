import { createApi } from './api.ts'
import { createAuth } from './auth/auth.ts'
import { createCaller } from './auth/caller-routes.ts'
import { createRemoteKeys } from './auth/jwks.ts'
import { createOriginGuard } from './auth/origins.ts'
import { defaultRoleLevelQuery } from './auth/roles.ts'
import { createStandings } from './auth/standing-store.ts'
import { createTickets } from './auth/tickets.ts'
import { createTicketStore } from './auth/tickets-store.ts'
import type { Config } from './config.ts'
import { createDelivery } from './delivery.ts'
import { type HttpServer, type Routes, serve } from './http/server.ts'
import { KairanError } from './lib/errors.ts'
import type { Report } from './lib/report.ts'
import { version } from './lib/version.ts'
import { queueUsage } from './log/listener.ts'
import { createClock } from './observe/clock.ts'
import { createTraces } from './observe/lazy-traces.ts'
import { createMetrics } from './observe/metrics.ts'
import { createOperations } from './operations.ts'
import { createDatabases } from './postgres/databases.ts'
import { prepare } from './postgres/prepare.ts'
import { createLimits } from './stream/limits.ts'

export type Service = {
  /** Serves, and resolves when it is ready. Rejects when the schema can't be brought up to date. */
  start(): Promise<void>
  /**
   * Ends the streams within DRAIN_MS, writes what is left to write, and closes everything. Meanwhile it answers new
   * requests, unless it has to give up the port at once.
   */
  stop(how?: { keepsPort: boolean }): Promise<void>
  readonly url: string
  /** Why it is not ready; empty when it is. */
  reasons(): string[]
  /** How many streams are open. */
  readonly streams: number
  /** What it has counted, for `others` of another worker. */
  metrics(): Promise<object>
}

/** How long a proxy that asks `/readyz` each second may take to see that an instance drains. */
const noticeMs = 3000

type Options = {
  demo?: boolean
  /** When several processes share the port: the number of this one, and the metrics of the others. */
  worker?: { number: number; others(): object[] }
}

/** Kairan on a port of its own: its parts, and an HTTP server for their routes. */
export const createService = (config: Config, report: Report, options: Options = {}): Service => {
  const parts = createParts(config, report, options)
  const { phase, delivery, reasons } = parts
  let http: HttpServer | null = null
  let stopped: Promise<void> | null = null

  const stop = async ({ keepsPort }: { keepsPort: boolean }) => {
    phase.drain()
    if (!keepsPort) http?.leave()
    // Also an instance without streams keeps its port until a proxy's health check has seen it leave.
    await Promise.all([
      delivery.streams.drain(config.drainMs),
      Bun.sleep(Math.min(config.drainMs, noticeMs)),
    ])
    await http?.stop()
    await parts.stop()
  }

  return {
    async start() {
      await parts.traces.start()
      http = serve({
        host: config.host,
        port: config.port,
        sharesPort: config.workers > 1,
        heartbeatMs: config.heartbeatMs,
        corsOrigins: config.corsOrigins,
        allowedHosts: config.allowedHosts,
        report,
        isDraining: () => phase.isDraining,
        refused: parts.metrics.authFailed,
        routes: parts.routes,
      })
      const { maxEventBytes } = config
      const databaseUrl = parts.databases.directUrl
      await prepare({ databaseUrl, maxEventBytes }, report, () => stopped !== null)
      if (stopped) return
      await delivery.start()
      phase.run()
    },
    stop: (how = { keepsPort: true }) => {
      stopped ??= stop(how)
      return stopped
    },
    get url() {
      if (!http) throw new Error('The service has not been started')
      return http.url
    },
    reasons,
    get streams() {
      return delivery.state().streams
    },
    metrics: parts.metrics.data,
  }
}

/** All parts, connected, without a port: each is there before the next one needs it. */
const createParts = (config: Config, report: Report, options: Options) => {
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
  const auth = createAuth({
    secrets: config.jwtSecrets,
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
    cookie: config.authCookie,
    keys: config.jwtJwksUrl === null ? null : createRemoteKeys(config.jwtJwksUrl, report),
    guard: createOriginGuard(config.corsOrigins),
  })
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
  const delivery = createDelivery(config, { ...shared, instanceId, clock })
  const reasons = () => [phase.refusal(), ...delivery.problems()].filter(reason => reason !== null)
  metrics.watch(() => ({ ...delivery.state(), problem: reasons().join('; ') || null }))
  const api = createApi(config, { ...shared, delivery, auth, caller, refusal: phase.refusal })
  const operations = createOperations(config, {
    database: databases.requests,
    auth,
    caller,
    metrics,
    readableOf: delivery.streams.readableOf,
    reasons,
    isDemo: options.demo === true,
    others: options.worker?.others ?? (() => []),
  })
  const routes: Routes = [...operations, ...api.routes]

  return {
    phase,
    databases,
    metrics,
    traces,
    delivery,
    reasons,
    routes,
    async stop() {
      await delivery.stop()
      await Promise.all([databases.stop(), traces.stop()])
    },
  }
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
