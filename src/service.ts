import { dashboardRoutes } from './admin/page-routes.ts'
import { adminRoutes } from './admin/routes.ts'
import { adminSessionRoutes } from './admin/session-routes.ts'
import { createAdminStore } from './admin/store.ts'
import { createAuth } from './auth/auth.ts'
import { createCaller } from './auth/caller-routes.ts'
import { createRemoteKeys } from './auth/jwks.ts'
import { createOriginGuard } from './auth/origins.ts'
import { createRoles } from './auth/roles-store.ts'
import { createTickets } from './auth/tickets.ts'
import { ticketRoute } from './auth/tickets-routes.ts'
import { createTicketStore } from './auth/tickets-store.ts'
import { type Config, showConfig } from './config.ts'
import { demoRoutes } from './dev/demo-routes.ts'
import { createDemoStore } from './dev/demo-store.ts'
import { createAddressOf } from './http/address.ts'
import { clientRoutes } from './http/client-assets.ts'
import { healthRoutes } from './http/health.ts'
import { openapiRoutes } from './http/openapi.ts'
import { type HttpServer, serve } from './http/server.ts'
import { createAsReader, createReaderOf } from './inbox/inbox.ts'
import { createReceipts } from './inbox/receipts-store.ts'
import { inboxRoutes } from './inbox/routes.ts'
import { createInbox } from './inbox/store.ts'
import { KairanError, messageOf } from './lib/errors.ts'
import type { Report } from './lib/report.ts'
import { createTurns } from './lib/turns.ts'
import { version } from './lib/version.ts'
import { createDispatcher } from './log/dispatcher.ts'
import type { Event } from './log/event.ts'
import { createListener, queueUsage } from './log/listener.ts'
import { createLog } from './log/log-store.ts'
import { createRetention } from './log/retention.ts'
import { createClock } from './observe/clock.ts'
import { createMetrics } from './observe/metrics.ts'
import { metricsRoute } from './observe/metrics-routes.ts'
import { noTraces } from './observe/traces.ts'
import { createDatabase } from './postgres/database.ts'
import { prepare } from './postgres/prepare.ts'
import { createPrimary } from './postgres/primary.ts'
import { createScout } from './postgres/scout.ts'
import { parseLive } from './publish/live-event.ts'
import { createLiveGate } from './publish/live-gate.ts'
import { publishRoute } from './publish/routes.ts'
import { createPublisher } from './publish/store.ts'
import { createHub } from './stream/hub.ts'
import { createLimits, createRefusals } from './stream/limits.ts'
import { createExtend, createPresence } from './stream/presence-store.ts'
import { streamRoute } from './stream/routes.ts'
import { createStatuses } from './stream/statuses.ts'
import { createStatusStore } from './stream/statuses-store.ts'
import { createStreams } from './stream/streams.ts'
import { streamTokenRoute } from './stream/token-routes.ts'

export type Service = {
  /** Serves, and resolves when it is ready. Rejects when the schema can't be brought up to date. */
  start(): Promise<void>
  /** Ends the streams within DRAIN_MS, writes what is left to write, and closes everything. */
  stop(): Promise<void>
  readonly url: string
  /** Why it is not ready; empty when it is. */
  reasons(): string[]
  /** How many streams are open. */
  readonly streams: number
  /** What it has counted, for `others` of another worker. */
  metrics(): Promise<object>
}

/** The notify channels: the log has grown, a live event, something about a user. */
const notifyChannels = { log: 'kairan_log', live: 'kairan', users: 'kairan_users' }

/** How long the last statuses may take to be written when the service stops. */
const lastWriteMs = 5000

/** How long a proxy that asks `/readyz` each second may take to see that an instance drains. */
const noticeMs = 3000

/** The composition root: builds the parts and connects them. */
export const createService = (
  config: Config,
  report: Report,
  options: {
    demo?: boolean
    /** When several share the port: which one this is, and what the others say of themselves. */
    worker?: { number: number; others(): object[] }
  } = {},
): Service => {
  const hub = createHub({
    queueBytes: config.queueBytes,
    recentEvents: 10_000,
    recentBytes: 16 * 1024 * 1024,
  })
  const begun = Promise.withResolvers<void>()
  const instanceId = crypto.randomUUID()
  let traces = noTraces
  const primary = createPrimary()
  const database = createDatabase(config.databaseUrl, {
    judge: primary.follow,
    // Workers share what one instance would use.
    max: Math.max(2, Math.ceil(6 / config.workers)),
    name: 'kairan',
    direct: config.databaseListenUrl === null,
    deadlineMs: 10_000,
  })
  // What requests ask for has connections of its own: streams open while these wait for somebody's lock.
  // The two limits and the wait for a turn (inbox/routes.ts) add up to less than 6 s.
  const requestDatabase = createDatabase(config.databaseUrl, {
    judge: primary.follow,
    max: Math.max(2, Math.ceil(6 / config.workers)),
    name: 'kairan requests',
    direct: config.databaseListenUrl === null,
    placeMs: 1200,
    deadlineMs: 3200,
  })
  const directUrl = config.databaseListenUrl ?? config.databaseUrl
  const dispatcherDatabase = createDatabase(directUrl, {
    judge: primary.lead,
    max: 1,
    name: 'kairan dispatcher',
    direct: true,
    deadlineMs: 3000,
  })
  const statuses = createStatuses({
    store: createStatusStore(database),
    delayMs: 20,
    retryMs: 1000,
    report,
    onTaken(event) {
      metrics.taken(event)
      traces.taken(event)
    },
    onDelivered: recipients => metrics.delivered(recipients),
  })
  const clock = createClock()
  const metrics = createMetrics({
    version,
    worker: options.worker?.number,
    state() {
      const { waiting, dropped } = statuses.count()
      return {
        streams: hub.size,
        users: hub.users,
        head: hub.head,
        statusesWaiting: waiting,
        statusesDropped: dropped,
        listening: listener.state.listening,
        problem: reasons().join('; ') || null,
      }
    },
    queueUsage: () => queueUsage(database),
    databaseAheadMs: () => clock.aheadMs,
  })
  const presence = createPresence({
    ...config,
    database,
    instanceId,
    everyMs: 2000,
    report,
    list: () => streams.list(),
    facts: metrics.facts,
  })
  const levelOf = createRoles(database, config.roleLevelQuery)
  const receipts = createReceipts({ database, delayMs: 200, retryMs: 1000, report })
  const inbox = createInbox(requestDatabase, report)
  const limits = createLimits({ ...config, maxPerAddress: config.maxStreamsPerAddress })
  const tickets = createTickets({ ...config, store: createTicketStore(database) })
  const streams = createStreams({
    ...config,
    hub,
    presence,
    metrics,
    log: createLog(database),
    levelOf,
    taken: statuses.taken,
    receipts,
    limits,
    tickets,
    ticketFailed: error => report.warn({ error: messageOf(error) }, 'A ticket was not updated.'),
    failed: error => report.warn({ error: messageOf(error) }, 'A stream had to be ended.'),
  })
  const dispatcher = createDispatcher({
    database: dispatcherDatabase,
    // A changed role level reaches open streams within a second, also when nobody rings.
    pollMs: 800,
    report,
    server: () => primary.facts,
    onBegin(epoch, head) {
      hub.begin(epoch, head)
      metrics.begun(head)
      begun.resolve()
    },
    onEvents(events, head) {
      traces.dispatched(events)
      hub.dispatch(events, head)
      metrics.dispatched(events.length)
    },
    onExpired(seqs) {
      statuses.failed(seqs, 'expired')
      metrics.expired(seqs.length)
    },
    onChange: streams.apply,
    onChangesLost: () => void streams.reauthorize(),
  })
  const retention = createRetention({
    database,
    keepMs: config.retentionMs,
    everyMs: Math.min(Math.max(config.retentionMs / 100, 1000), 60_000),
    report,
  })
  const listener = createListener({
    url: directUrl,
    judge: primary.follow,
    // NOTIFY asks for no permission: what is not listened to reaches nobody.
    channels: Object.values(notifyChannels).filter(
      channel => config.livePath || channel !== notifyChannels.live,
    ),
    heartbeatMs: 5000,
    timeoutMs: 3000,
    report,
    onNotify(channel, payload) {
      if (channel === notifyChannels.log) dispatcher.wakeFor(payload === '' ? Infinity : +payload)
      else if (channel === notifyChannels.live) dispatchLive(payload)
      else if (channel === notifyChannels.users) liveGate.changed()
    },
    onUp() {
      dispatcher.wake()
      metrics.listening()
    },
    onClock: clock.observe,
  })

  const scout = createScout({
    url: directUrl,
    primary,
    everyMs: 2000,
    isNeeded: () => dispatcher.state.problem === null,
  })
  primary.onDoubt(dispatcherDatabase.renew)
  primary.onChange(() => {
    report.warn({}, 'Another server is followed: connections are made anew.')
    database.renew()
    requestDatabase.renew()
    listener.renew()
  })
  const refusals = createRefusals(report, metrics.streamRefused)
  const auth = createAuth({
    secrets: config.jwtSecrets,
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
    cookie: config.authCookie,
    keys: config.jwtJwksUrl === null ? null : createRemoteKeys(config.jwtJwksUrl, report),
    guard: createOriginGuard(config.corsOrigins),
  })
  const turns = createTurns({ atOnce: 1, mostWaiting: 50, waitMs: 1500 })
  const demo = () =>
    demoRoutes({
      auth,
      cookie: config.authCookie,
      adminRoleLevel: config.adminRoleLevel,
      store: createDemoStore(requestDatabase),
    })

  const dashboard = () =>
    config.dashboard === 'off'
      ? []
      : [
          dashboardRoutes({ isHome: !options.demo }),
          adminSessionRoutes({ auth, cookie: config.authCookie }),
          adminRoutes({
            caller,
            store: createAdminStore(requestDatabase),
            publish: createPublisher(requestDatabase),
            channelsOf: streams.channelsOf,
            isReadOnly: config.dashboard === 'readonly',
            retentionMs: config.retentionMs,
            settings: showConfig(config),
            version,
          }),
        ]

  const dispatchLive = (text: string) => {
    const read = parseLive(text, new Date())
    if ('event' in read) {
      return liveGate.push(read.event)
    }
    metrics.live('refused')
    report.warn({ text: text.slice(0, 200) }, `A live event was refused: ${read.reason}.`)
    if (read.delivery) statuses.failedLive(read.delivery.id, read.delivery.channel, read.reason)
  }

  // A NOTIFY says no more than that there is something to read: anybody can send one, and hear it.
  const liveGate = createLiveGate<Event>({
    look: dispatcher.look,
    dispatch(event) {
      metrics.live('dispatched')
      hub.dispatchLive(event)
    },
    dropped: () => metrics.live('refused'),
    most: 1000,
  })

  let state: 'starting' | 'running' | 'draining' = 'starting'
  /** Why no stream can begin now; null when it can. */
  const refusal = () => (state === 'running' ? null : state)
  /** Before that there may be no table to read or to write. */
  const requireStarted = () => {
    if (state !== 'starting') return
    throw new KairanError('unavailable', 'The service is starting. Try again soon.', {
      retryAfter: 1,
    })
  }
  const caller = createCaller({ identify: auth.identify, requireStarted })
  let http: HttpServer | null = null
  let stopped: Promise<void> | null = null

  const reasons = () =>
    [
      state === 'running' ? null : state,
      dispatcher.state.problem && `database: ${dispatcher.state.problem}`,
      listener.state.problem && `listen: ${listener.state.problem}`,
    ].filter(reason => reason !== null)

  const stop = async () => {
    state = 'draining'
    // Also an instance without streams keeps its port until a proxy's health check has seen it leave.
    await Promise.all([
      streams.drain(config.drainMs),
      Bun.sleep(Math.min(config.drainMs, noticeMs)),
    ])
    await http?.stop()
    await presence.stop()
    await retention.stop()
    inbox.stop()
    await scout.stop()
    await listener.stop()
    await dispatcher.stop()
    // A database that does not answer must not keep the process: it is not needed any more.
    await Promise.race([Promise.all([statuses.stop(), receipts.stop()]), Bun.sleep(lastWriteMs)])
    await Promise.all([
      database.stop(),
      requestDatabase.stop(),
      dispatcherDatabase.stop(),
      traces.stop(),
    ])
  }

  return {
    async start() {
      const { otelExporterOtlpEndpoint: endpoint, otelServiceName: serviceName } = config
      if (endpoint !== null) {
        // Loaded only then: it is as much code as the rest.
        const { createOtelTraces } = await import('./observe/otel.ts')
        traces = createOtelTraces({ endpoint, serviceName, version, instanceId })
      }
      http = serve({
        ...config,
        sharesPort: config.workers > 1,
        report,
        isDraining: () => state === 'draining',
        refused: metrics.authFailed,
        routes: [
          ...(options.demo ? [demo()] : []),
          healthRoutes(reasons),
          openapiRoutes(version, config.authCookie),
          metricsRoute(metrics, options.worker?.others ?? (() => [])),
          ...dashboard(),
          clientRoutes(),
          publishRoute({
            caller,
            publishRate: config.publishRate,
            maxEventBytes: config.maxEventBytes,
            publish: createPublisher(requestDatabase),
            // Programs publish, many requests at a time with one token.
            turns: createTurns({ atOnce: 2, mostWaiting: 1000, waitMs: 1500 }),
            traces,
          }),
          ticketRoute({ caller, tickets }),
          streamRoute({
            auth,
            tickets,
            streams,
            limits,
            refusals,
            addressOf: createAddressOf(config.trustedProxies),
            retryMs: config.retryMs,
            refusal,
            failed: error => report.warn({ error: messageOf(error) }, 'No stream can be opened.'),
          }),
          streamTokenRoute({
            caller,
            streams,
            extendElsewhere: createExtend(database),
          }),
          inboxRoutes({
            caller,
            inbox,
            receipts,
            asReader: createAsReader(createReaderOf({ ...config, levelOf })),
            turns,
          }),
        ],
      })
      await prepare(
        { ...config, databaseUrl: config.databaseListenUrl ?? config.databaseUrl },
        report,
        () => stopped !== null,
      )
      if (stopped) return
      streams.start()
      presence.start()
      dispatcher.start()
      listener.start()
      scout.start()
      retention.start()
      await begun.promise
      state = 'running'
    },
    stop: () => {
      stopped ??= stop()
      return stopped
    },
    get url() {
      if (!http) throw new Error('The service has not been started')
      return http.url
    },
    reasons,
    get streams() {
      return hub.size
    },
    metrics: metrics.data,
  }
}
