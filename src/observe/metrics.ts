import {
  AggregatorRegistry,
  Counter,
  Gauge,
  Histogram,
  type LabelValues,
  Registry,
} from 'prom-client'
import { statuses } from '../lib/errors.ts'
import type { Event } from '../log/event.ts'
import type { Received } from '../relay/receiver.ts'

/** Counts what happens in the service, for `GET /metrics` and the dashboard. Names no user and no channel. */
export type Metrics = {
  /** Reads what is now from here on. */
  watch(read: () => State): void
  streamOpened(): void
  /** A stream ended. The reason is `client`, or the type of its last control event. */
  streamEnded(reason: string, seconds: number): void
  streamRefused(reason: string): void
  gap(reason: string): void
  lagging(): void
  /** Events of the log were dispatched, which came from the table or by the relay. */
  dispatched(events: number, from: 'table' | 'relay'): void
  /** A message of the relay arrived. */
  relayed(outcome: Received): void
  /** An event of the live path was dispatched or refused. */
  live(outcome: 'dispatched' | 'refused'): void
  /** Deliveries expired before they could be sent. */
  expired(deliveries: number): void
  /** It was decided what has to be followed up: so many follow-ups were made, so many were not needed. */
  followUpsDecided(made: number, needless: number): void
  /** A follow-up was posted to WEBHOOK_URL. */
  webhook(outcome: 'sent' | 'failed' | 'given_up'): void
  /** Spans could not be sent. */
  tracesLost(spans: number): void
  /** Connections took events. An event counts once for each connection. */
  delivered(recipients: number): void
  /** A stream took an event of the log. Only the first stream counts, and replays do not. */
  taken(event: Event): void
  /** Events of the log above this seq are new. */
  begun(head: number): void
  /** A request was answered with 401 or 403 and this code. */
  authFailed(code: string): void
  /** LISTEN has started, for the first time or again. */
  listening(): void
  /** The metrics in the Prometheus text format, with those of `others`, and its Content-Type. */
  text(others?: object[]): Promise<{ body: string; contentType: string }>
  /** The metrics as data, for another worker that shows them with its own. */
  data(): Promise<object>
  /** The facts of this instance for the dashboard: totals since its start, and current values. */
  facts(): Promise<Facts>
}

/** The facts about an instance in `kairan.instances`. */
export type Facts = State & {
  version: string
  dispatched: number
  live: number
  delivered: number
  refused: Record<string, number>
  /** The latency as a histogram: upper bounds in seconds, the count up to each, the total count, and the sum. */
  latency: { bounds: number[]; counts: number[]; sum: number }
}

/** Current values, read for each answer. */
export type State = {
  streams: number
  users: number
  /** The seq up to which the log has been dispatched. */
  head: number
  /** Status rows that wait to be written, and those that were dropped. */
  statusesWaiting: number
  statusesDropped: number
  listening: boolean
  /** Whether this instance numbers for all. */
  isLeading: boolean
  /** Whether messages of the relay arrive. */
  isRelayUp: boolean
  /** Why the instance is not ready; null when it is. */
  problem: string | null
}

/** Which label values begin at 0. Others appear when they are counted first. */
const gapReasons = ['retention', 'limit', 'log']
const refusalReasons = ['starting', 'draining', 'unavailable', 'overloaded', 'address']
const endReasons = [
  ...['client', 'draining', 'age', 'lagging', 'unavailable', 'stalled', 'log'],
  ...['replaced', 'token_expired', 'revoked', 'too_many_channels'],
]
const authCodes = Object.entries(statuses)
  .filter(([, status]) => status === 401 || status === 403)
  .map(([code]) => code)

/** Before the parts are there that know it. */
const nothing: State = {
  streams: 0,
  users: 0,
  head: 0,
  statusesWaiting: 0,
  statusesDropped: 0,
  listening: false,
  isLeading: false,
  isRelayUp: false,
  problem: 'starting',
}

/** Bounds in seconds. Kairan itself takes one to three milliseconds. */
const latencyBounds = [
  0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

/** Creates the metrics of one service, in a registry of their own: a test may have two services in one process. */
export const createMetrics = (options: {
  version: string
  /** The number of this worker if there are several. It is a label of all metrics then. */
  worker?: number | undefined
  /** How full the NOTIFY queue of Postgres is, from 0 to 1. At 1, Postgres refuses commits. */
  queueUsage(): Promise<number>
  /** How many follow-ups there are in each state. */
  followUps(): Promise<Record<string, number>>
  /** How many notifications are scheduled, by state. */
  scheduled(): Promise<Record<string, number>>
  /** By how much the clock of Postgres is ahead of this process's; null while that is unknown. */
  databaseAheadMs(): number | null
}): Metrics => {
  let state = (): State => nothing
  const registry = new Registry()
  const registers = [registry]
  if (options.worker !== undefined) registry.setDefaultLabels({ worker: options.worker })
  const counter = <Label extends string = never>(
    name: string,
    help: string,
    label?: Label,
    values: readonly string[] = [],
  ) => {
    const labelNames = label ? [label] : []
    const made = new Counter<Label>({ name: `kairan_${name}`, help, registers, labelNames })
    // A series that begins at 1 has not increased: without these, no alert would see the first.
    if (label) for (const value of values) made.inc({ [label]: value } as LabelValues<Label>, 0)
    return made
  }
  const gauge = (name: string, help: string, read: () => number | Promise<number>) =>
    new Gauge({
      name: `kairan_${name}`,
      help,
      registers,
      async collect() {
        try {
          this.set(await read())
        } catch {
          // A value that is unknown now is left out.
          this.remove()
        }
      },
    })

  const states = (name: string, help: string, read: () => Promise<Record<string, number>>) =>
    new Gauge({
      name: `kairan_${name}`,
      help,
      labelNames: ['state'],
      registers,
      async collect() {
        this.reset()
        // Left out while they are unknown.
        const counts = await read().catch(() => ({}))
        for (const [state, count] of Object.entries(counts)) this.set({ state }, count)
      },
    })

  new Gauge({
    name: 'kairan_build_info',
    help: 'Always 1. The labels name the versions of Kairan and Bun.',
    labelNames: ['version', 'bun'],
    registers,
  }).set({ version: options.version, bun: Bun.version }, 1)
  gauge('streams', 'Open streams.', () => state().streams)
  gauge('users', 'Users who have an open stream.', () => state().users)
  gauge('log_head', 'The seq up to which the log has been dispatched here.', () => state().head)
  gauge(
    'listener_up',
    '1 while NOTIFYs are known to arrive, 0 while delivery goes by polling.',
    () => Number(state().listening),
  )
  gauge('leading', '1 while this instance numbers for all.', () => Number(state().isLeading))
  gauge(
    'relay_up',
    '1 while messages of other instances are known to arrive, 0 while the table is read instead.',
    () => Number(state().isRelayUp),
  )
  gauge('ready', '1 while /readyz says yes.', () => Number(state().problem === null))
  gauge('statuses_waiting', 'Status rows that wait to be written.', () => state().statusesWaiting)
  gauge(
    'statuses_dropped',
    'Status rows that were dropped, because too many waited.',
    () => state().statusesDropped,
  )
  gauge(
    'pg_notify_queue_usage_ratio',
    'How full the NOTIFY queue of Postgres is. At 1, Postgres refuses commits.',
    options.queueUsage,
  )
  states(
    'follow_ups',
    'Follow-ups in the database by state, up to 10000 each. Finished ones are removed after RETENTION.',
    options.followUps,
  )
  states(
    'scheduled',
    'Notifications with send_at that are not sent, by state, up to 10000 each. Overdue: by 5 seconds and more.',
    options.scheduled,
  )
  gauge('database_clock_ahead_seconds', 'By how much the clock of Postgres is ahead.', () => {
    const aheadMs = options.databaseAheadMs()
    if (aheadMs === null) throw new Error('Postgres was not asked yet')
    return aheadMs / 1000
  })
  // The names that all Prometheus clients use.
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Memory of this process.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of this process since its start.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      this.reset()
      this.inc((user + system) / 1e6)
    },
  })

  const opened = counter('streams_opened_total', 'Streams that were opened.')
  const ended = counter(
    'streams_ended_total',
    'Streams that ended, by reason.',
    'reason',
    endReasons,
  )
  const duration = new Histogram({
    name: 'kairan_stream_duration_seconds',
    help: 'How long streams were open.',
    buckets: [1, 10, 60, 300, 600, 900, 1200, 3600],
    registers,
  })
  const refused = counter(
    'streams_refused_total',
    'Streams that were asked to come back later, by reason.',
    'reason',
    refusalReasons,
  )
  const gaps = counter(
    'gaps_total',
    'Streams that were told of a gap, by reason.',
    'reason',
    gapReasons,
  )
  const lagging = counter('lagging_total', 'Streams that read too slowly and went back to the log.')
  const dispatched = counter('events_dispatched_total', 'Events of the log that were dispatched.')
  const from = counter(
    'events_received_total',
    'Events of the log that were dispatched, by where they came from.',
    'from',
    ['table', 'relay'],
  )
  const relayed = counter(
    'relay_messages_total',
    'Messages of other instances that arrived, by outcome.',
    'outcome',
    ['applied', 'known', 'missing', 'refused', 'repeated'],
  )
  const live = counter('live_events_total', 'Events of the live path, by outcome.', 'outcome', [
    'dispatched',
    'refused',
  ])
  const tracesLost = counter(
    'trace_spans_lost_total',
    'Spans that could not be sent to OTEL_EXPORTER_OTLP_ENDPOINT.',
  )
  const expired = counter(
    'deliveries_expired_total',
    'Deliveries that expired before they were sent.',
  )
  const followUps = counter(
    'follow_ups_decided_total',
    'Notifications with follow_up_after that became due, by outcome: a follow-up was made, or needless.',
    'outcome',
    ['made', 'needless'],
  )
  const webhooks = counter(
    'webhooks_total',
    'Follow-ups that were posted to WEBHOOK_URL, by outcome. One that failed is posted again.',
    'outcome',
    ['sent', 'failed', 'given_up'],
  )
  const delivered = counter(
    'events_delivered_total',
    'Events that streams took, once for each stream.',
  )
  const latency = new Histogram({
    name: 'kairan_delivery_latency_seconds',
    help: 'Time from the insert of a notification until the first stream took it, without replays.',
    buckets: latencyBounds,
    registers,
  })
  const authFailures = counter(
    'auth_failures_total',
    'Requests that were answered with 401 or 403, by code.',
    'code',
    authCodes,
  )
  const listens = counter(
    'listener_starts_total',
    'How often LISTEN started; 1 after the start of the process.',
  )

  /** The newest event that a stream took. */
  let newest = 0

  return {
    watch(read) {
      state = read
    },
    streamOpened: () => opened.inc(),
    streamEnded(reason, seconds) {
      ended.inc({ reason })
      duration.observe(seconds)
    },
    streamRefused: reason => refused.inc({ reason }),
    gap: reason => gaps.inc({ reason }),
    lagging: () => lagging.inc(),
    dispatched(events, way) {
      dispatched.inc(events)
      from.inc({ from: way }, events)
    },
    relayed: outcome => relayed.inc({ outcome }),
    live: outcome => live.inc({ outcome }),
    expired: deliveries => expired.inc(deliveries),
    followUpsDecided(made, needless) {
      followUps.inc({ outcome: 'made' }, made)
      followUps.inc({ outcome: 'needless' }, needless)
    },
    webhook: outcome => webhooks.inc({ outcome }),
    tracesLost: spans => tracesLost.inc(spans),
    delivered: recipients => delivered.inc(recipients),
    taken({ seq, createdAt }) {
      if (seq === null || seq <= newest) return
      newest = seq
      // The row has the time of Postgres' clock.
      const now = Date.now() + (options.databaseAheadMs() ?? 0)
      const seconds = (now - Date.parse(createdAt)) / 1000
      // A date in a far past, which JavaScript cannot represent, says nothing about the latency.
      if (Number.isFinite(seconds)) latency.observe(Math.max(0, seconds))
    },
    begun(head) {
      newest = head
    },
    authFailed: code => authFailures.inc({ code }),
    listening: () => listens.inc(),
    async text(others = []) {
      const all =
        others.length === 0
          ? registry
          : AggregatorRegistry.aggregate([await registry.getMetricsAsJSON(), ...others])
      return { body: await all.metrics(), contentType: registry.contentType }
    },
    data: () => registry.getMetricsAsJSON(),
    async facts() {
      const { values } = await latency.get()
      const named = (suffix: string) => values.filter(value => value.metricName?.endsWith(suffix))
      return {
        ...state(),
        version: options.version,
        dispatched: await totalOf(dispatched),
        live: await totalOf(live),
        delivered: await totalOf(delivered),
        refused: Object.fromEntries(
          (await refused.get()).values.map(({ labels, value }) => [String(labels.reason), value]),
        ),
        latency: {
          bounds: latencyBounds,
          counts: named('_bucket').map(({ value }) => value),
          sum: named('_sum')[0]?.value ?? 0,
        },
      }
    },
  }
}

const totalOf = async (counter: Counter) =>
  (await counter.get()).values.reduce((sum, { value }) => sum + value, 0)
