import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Event } from '../log/event.ts'

/** What parts of the service count, and `GET /metrics` and the dashboard show. Nothing in it names a user or a channel. */
export type Metrics = {
  streamOpened(): void
  /** Why it ended: `client`, or as its last control event says. */
  streamEnded(reason: string, seconds: number): void
  streamRefused(reason: string): void
  gap(reason: string): void
  lagging(): void
  /** A piece of the log was dispatched. */
  dispatched(events: number): void
  /** An event of the live path was dispatched, or could not be. */
  live(outcome: 'dispatched' | 'refused'): void
  /** Deliveries expired before they could be sent. */
  expired(deliveries: number): void
  /** Connections took events: how many, each counted once for each connection. */
  delivered(recipients: number): void
  /** A stream took an event of the log. Only the first counts, and no replay. */
  taken(event: Event): void
  /** From here on events of the log are new. */
  begun(head: number): void
  /** Somebody was not let in: the code of the answer. */
  authFailed(code: string): void
  /** LISTEN is up, for the first time or again. */
  listening(): void
  /** The metrics in the Prometheus text format, with those of `others`, and its Content-Type. */
  text(others?: object[]): Promise<{ body: string; contentType: string }>
  /** The same as data, for another process that shows them with its own. */
  data(): Promise<object>
  /** What the dashboard shows of this instance: totals since its start, and what is now. */
  facts(): Promise<Facts>
}

/** What an instance says of itself in `kairan.instances`. */
export type Facts = State & {
  version: string
  dispatched: number
  live: number
  delivered: number
  refused: Record<string, number>
  /** Of the latency: upper bounds in seconds, the counts up to each of them and in all, and the sum. */
  latency: { bounds: number[]; counts: number[]; sum: number }
}

/** What is now, asked when somebody looks. */
export type State = {
  streams: number
  users: number
  /** The seq up to which it has dispatched. */
  head: number
  /** Status rows that wait to be written, and those that were given up. */
  statusesWaiting: number
  statusesDropped: number
  listening: boolean
  /** Why it is not ready; null when it is. */
  problem: string | null
}

/** In seconds. Kairan's own part is one to three milliseconds. */
const latencyBounds = [
  0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

/** The metrics of one process, each in a registry of its own: a test may have two services. */
export const createMetrics = (options: {
  version: string
  /** Its number, when it is one of several workers: then it is a label of all of its metrics. */
  worker?: number | undefined
  state(): State
  /** How full the queue of NOTIFYs is, from 0 to 1; Postgres refuses commits when it is 1. */
  queueUsage(): Promise<number>
}): Metrics => {
  const registry = new Registry()
  const registers = [registry]
  if (options.worker !== undefined) registry.setDefaultLabels({ worker: options.worker })
  const counter = <Label extends string = never>(name: string, help: string, label?: Label) =>
    new Counter({ name: `kairan_${name}`, help, registers, labelNames: label ? [label] : [] })
  const gauge = (name: string, help: string, read: () => number | Promise<number>) =>
    new Gauge({
      name: `kairan_${name}`,
      help,
      registers,
      async collect() {
        try {
          this.set(await read())
        } catch {
          // What can't be known now is left out: a number would be a lie.
          this.reset()
        }
      },
    })

  new Gauge({
    name: 'kairan_build_info',
    help: 'Always 1; which version runs, on which Bun.',
    labelNames: ['version', 'bun'],
    registers,
  }).set({ version: options.version, bun: Bun.version }, 1)
  gauge('streams', 'Open streams.', () => options.state().streams)
  gauge('users', 'Users who have an open stream.', () => options.state().users)
  gauge(
    'log_head',
    'The seq up to which the log has been dispatched here.',
    () => options.state().head,
  )
  gauge(
    'listener_up',
    '1 while NOTIFYs are known to arrive, 0 while delivery goes by polling.',
    () => Number(options.state().listening),
  )
  gauge('ready', '1 while /readyz says yes.', () => Number(options.state().problem === null))
  gauge(
    'statuses_waiting',
    'Status rows that wait to be written.',
    () => options.state().statusesWaiting,
  )
  gauge(
    'statuses_dropped',
    'Status rows that were given up, as too many waited.',
    () => options.state().statusesDropped,
  )
  gauge(
    'pg_notify_queue_usage_ratio',
    'How full the queue of NOTIFYs of Postgres is. At 1 it refuses commits.',
    options.queueUsage,
  )
  // Named as every Prometheus client names them.
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
  const ended = counter('streams_ended_total', 'Streams that ended, by why.', 'reason')
  const duration = new Histogram({
    name: 'kairan_stream_duration_seconds',
    help: 'How long streams were open.',
    buckets: [1, 10, 60, 300, 600, 900, 1200, 3600],
    registers,
  })
  const refused = counter(
    'streams_refused_total',
    'Streams that were sent away for a while.',
    'reason',
  )
  const gaps = counter('gaps_total', 'Streams that were told of a gap, by why.', 'reason')
  const lagging = counter('lagging_total', 'Streams that read too slowly and went back to the log.')
  const dispatched = counter('events_dispatched_total', 'Events of the log that were dispatched.')
  const live = counter(
    'live_events_total',
    'Events of the live path, by what became of them.',
    'outcome',
  )
  const expired = counter(
    'deliveries_expired_total',
    'Deliveries that expired before they were sent.',
  )
  const delivered = counter(
    'events_delivered_total',
    'Events that streams took, once for each stream.',
  )
  const latency = new Histogram({
    name: 'kairan_delivery_latency_seconds',
    help: 'From the insert of a notification until the first stream took it, replays aside.',
    buckets: latencyBounds,
    registers,
  })
  const authFailures = counter(
    'auth_failures_total',
    'Requests that were not let in, by code.',
    'code',
  )
  const listens = counter('listener_starts_total', 'How often LISTEN came up, once at the start.')

  /** The newest event that a stream took. */
  let newest = 0

  return {
    streamOpened: () => opened.inc(),
    streamEnded(reason, seconds) {
      ended.inc({ reason })
      duration.observe(seconds)
    },
    streamRefused: reason => refused.inc({ reason }),
    gap: reason => gaps.inc({ reason }),
    lagging: () => lagging.inc(),
    dispatched: events => dispatched.inc(events),
    live: outcome => live.inc({ outcome }),
    expired: deliveries => expired.inc(deliveries),
    delivered: recipients => delivered.inc(recipients),
    taken({ seq, createdAt }) {
      if (seq === null || seq <= newest) return
      newest = seq
      const seconds = (Date.now() - Date.parse(createdAt)) / 1000
      // One that was made before the years that have dates says nothing of today.
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
        ...options.state(),
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
