import type { Standings } from './auth/standing.ts'
import type { Tickets } from './auth/tickets.ts'
import type { Config } from './config.ts'
import { createDecisions } from './follow-up/decisions-store.ts'
import { createPost } from './follow-up/webhook.ts'
import { createWebhooks } from './follow-up/webhooks-store.ts'
import { createReceipts } from './inbox/receipts-store.ts'
import { parseNatsUrl } from './lib/nats-url.ts'
import type { Report } from './lib/report.ts'
import { version } from './lib/version.ts'
import { createDispatcher } from './log/dispatcher.ts'
import type { Event } from './log/event.ts'
import { createLease } from './log/lease.ts'
import { createListener } from './log/listener.ts'
import { createLog } from './log/log-store.ts'
import { announce, arrival, createPeers } from './log/peers.ts'
import { createRetention } from './log/retention.ts'
import { createScheduler } from './log/scheduler.ts'
import type { Clock } from './observe/clock.ts'
import type { Metrics } from './observe/metrics.ts'
import type { Traces } from './observe/traces.ts'
import type { Databases } from './postgres/databases.ts'
import { createScout } from './postgres/scout.ts'
import { createLiveRefusals, parseLive } from './publish/live-event.ts'
import { createLiveGate } from './publish/live-gate.ts'
import { createNatsRelay, natsSubject } from './relay/nats-relay.ts'
import { createPostgresRelay, relayChannel } from './relay/postgres-relay.ts'
import type { Relay } from './relay/relay.ts'
import { createRelaying } from './relay/relaying.ts'
import { createHub } from './stream/hub.ts'
import type { Limits } from './stream/limits.ts'
import { createPresence } from './stream/presence-store.ts'
import { createStatuses } from './stream/statuses.ts'
import { createStatusStore, failWithdrawn } from './stream/statuses-store.ts'
import { createStreams, listStreams } from './stream/streams.ts'

/** The notify channels: the bell, a live event, a change of a user, what the instance that numbers sends. */
const notifyChannels = {
  log: 'kairan_log',
  live: 'kairan',
  users: 'kairan_users',
  relay: relayChannel,
}

/** How long the last statuses may take to be written when the service stops. */
const lastWriteMs = 5000

export type Delivery = ReturnType<typeof createDelivery>

/** The way of a notification: from the log through the hub to the open streams, and what they took back again. */
export const createDelivery = (
  config: Config,
  parts: {
    databases: Databases
    instanceId: string
    standings: Standings
    limits: Limits
    clock: Clock
    tickets: Tickets
    metrics: Metrics
    traces: Traces
    report: Report
    /** Carries batches between instances. By default what RELAY_URL names does, or Postgres. */
    relay?: Relay | undefined
  },
) => {
  const { databases, metrics, traces, report } = parts
  const { shared: database, primary } = databases
  const natsRelay = () =>
    config.relayUrl === null
      ? null
      : createNatsRelay({
          address: parseNatsUrl(config.relayUrl),
          subject: () => natsSubject(primary.facts?.server ?? null),
          report,
        })
  const otherRelay = parts.relay ?? natsRelay()
  const begun = Promise.withResolvers<void>()
  const hub = createHub({
    queueBytes: config.queueBytes,
    recentEvents: 10_000,
    recentBytes: 16 * 1024 * 1024,
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
    onDelivered: metrics.delivered,
  })
  const receipts = createReceipts({ database, delayMs: 200, retryMs: 1000, report })
  const presence = createPresence({
    database,
    instanceId: parts.instanceId,
    everyMs: 2000,
    maxStreamsPerUser: config.maxStreamsPerUser,
    report,
    list: () => listStreams(hub),
    facts: metrics.facts,
  })
  const streams = createStreams({
    hub,
    log: createLog(database),
    standings: parts.standings,
    presence,
    receipts,
    limits: parts.limits,
    tickets: parts.tickets,
    metrics,
    report,
    taken: statuses.taken,
    settings: {
      adminRoleLevel: config.adminRoleLevel,
      maxChannels: config.maxChannels,
      heartbeatMs: config.heartbeatMs,
      retryMs: config.retryMs,
      maxStreamAgeMs: config.maxStreamAgeMs,
      maxStreamsPerUser: config.maxStreamsPerUser,
      replayLimit: config.replayLimit,
    },
  })
  const peers = createPeers({ database, instanceId: parts.instanceId })
  const lease = createLease({
    database: databases.dispatcher,
    instanceId: parts.instanceId,
    report,
    // Only who numbers hears the bell: it wakes nobody else.
    onChange: isHeld => listener.hear(notifyChannels.log, isHeld),
  })
  const dispatcher = createDispatcher({
    database: databases.dispatcher,
    lease,
    // A changed role level reaches open streams within a second, also when no NOTIFY arrives.
    pollMs: 800,
    report,
    server: () => primary.facts,
    onBegin(epoch, head, before) {
      if (epoch !== hub.epoch) statuses.forget()
      hub.begin(epoch, head, before)
      metrics.begun(head)
      begun.resolve()
    },
    onEvents(events, head, from) {
      traces.dispatched(events)
      hub.dispatch(events, head)
      metrics.dispatched(events.length, from)
    },
    onExpired(seqs) {
      statuses.failed(seqs, 'expired')
      metrics.expired(seqs.length)
    },
    onChange: streams.apply,
    onWithdrawn(withdrawn) {
      streams.withdraw(withdrawn)
      failWithdrawn(database, withdrawn, report)
    },
    onWithdrawnLost: hub.forgetRecent,
    onChangesLost: () => void streams.reauthorize(),
    onStep: step => relaying.send(step),
    onOffer: metrics.relayed,
  })
  const postgresRelay = createPostgresRelay(databases.relay, {
    isUp: () => listener.state.listening,
  })
  const relaying = createRelaying({
    relay: otherRelay ?? postgresRelay,
    database,
    hasPeers: peers.present,
    onStep: dispatcher.offer,
    onHead: dispatcher.wakeFor,
    onRefused: dispatcher.wake,
    onReceived: metrics.relayed,
    report,
  })
  // A NOTIFY tells only that there is something to read: any login can send and receive one.
  const liveGate = createLiveGate<Event>({
    look: dispatcher.look,
    dispatch(event) {
      metrics.live('dispatched')
      hub.dispatchLive(event)
    },
    dropped: () => metrics.live('refused'),
    most: 1000,
  })
  const liveRefusals = createLiveRefusals(report)
  const dispatchLive = (text: string) => {
    const read = parseLive(text, new Date())
    if ('event' in read) return liveGate.push(read.event)
    metrics.live('refused')
    liveRefusals.count(read.reason, text)
  }
  /** From a publisher, or from an instance that begins to listen. */
  const logNotified = (payload: string) => {
    if (payload === arrival) peers.arrived()
    else dispatcher.wake()
  }
  const listener = createListener({
    url: databases.directUrl,
    judge: primary.follow,
    // NOTIFY needs no permission: an event of a channel that is not listened to reaches nobody.
    channels: [
      notifyChannels.users,
      ...(config.livePath ? [notifyChannels.live] : []),
      ...(otherRelay ? [] : [notifyChannels.relay]),
    ],
    heartbeatMs: 5000,
    timeoutMs: 3000,
    report,
    onNotify(channel, payload) {
      if (channel === notifyChannels.log) logNotified(payload)
      else if (channel === notifyChannels.relay) postgresRelay.heard(payload)
      else if (channel === notifyChannels.live) dispatchLive(payload)
      else if (channel === notifyChannels.users) liveGate.changed()
    },
    onUp() {
      dispatcher.wake()
      metrics.listening()
      // If this fails, the others find this instance in its table.
      announce(database).catch(() => undefined)
    },
    onHear: dispatcher.wake,
    onClock: parts.clock.observe,
  })
  const scout = createScout({
    url: databases.directUrl,
    primary,
    everyMs: 2000,
    isNeeded: () => dispatcher.state.problem === null,
  })
  primary.onChange(() => {
    report.warn({}, 'Another server is followed: connections are made anew.')
    databases.renew()
    listener.renew()
  })
  const isNeeded = () => lease.isHeld
  const scheduler = createScheduler({ database, everyMs: 500, isNeeded, report })
  const webhooks =
    config.webhookUrl === null
      ? null
      : createWebhooks({
          database,
          post: createPost({
            url: config.webhookUrl,
            secrets: config.webhookSecrets,
            timeoutMs: 10_000,
            version,
          }),
          atOnce: 20,
          everyMs: 1000,
          onOutcome: metrics.webhook,
          report,
        })
  const decisions = createDecisions({
    database,
    everyMs: 500,
    isNeeded,
    onDecided(made, needless) {
      metrics.followUpsDecided(made, needless)
      if (made > 0) webhooks?.wake()
    },
    report,
  })
  const retention = createRetention({
    database,
    keepMs: config.retentionMs,
    everyMs: Math.min(Math.max(config.retentionMs / 100, 1000), 60_000),
    isNeeded,
    report,
  })

  return {
    streams,
    receipts,
    /** What is now, for metrics. */
    state() {
      const { waiting, dropped } = statuses.count()
      return {
        streams: hub.size,
        users: hub.users,
        head: hub.head,
        statusesWaiting: waiting,
        statusesDropped: dropped,
        listening: listener.state.listening,
        isLeading: lease.isHeld,
        isRelayUp: relaying.problem() === null,
      }
    },
    /** What works less well than it could, although everything arrives; empty when nothing does. */
    notes() {
      const problem = relaying.problem()
      return problem ? [`relay: ${problem}`] : []
    },
    /** Why notifications may not arrive now; empty when they do. */
    problems: () =>
      [
        dispatcher.state.problem && `database: ${dispatcher.state.problem}`,
        listener.state.problem && `listen: ${listener.state.problem}`,
      ].filter(problem => problem !== null),
    /** Resolves when the log is read. */
    async start() {
      streams.start()
      presence.start()
      relaying.start()
      dispatcher.start()
      listener.start()
      scout.start()
      scheduler.start()
      decisions.start()
      webhooks?.start()
      retention.start()
      await begun.promise
    },
    /** Stops everything but the databases, after the streams have ended. */
    async stop() {
      await presence.stop()
      await retention.stop()
      await scheduler.stop()
      await decisions.stop()
      await webhooks?.stop()
      await scout.stop()
      await dispatcher.stop()
      await relaying.stop()
      await listener.stop()
      // A database that does not answer must not keep the process: it is not needed any more.
      await Promise.race([Promise.all([statuses.stop(), receipts.stop()]), Bun.sleep(lastWriteMs)])
    },
  }
}
