import { context, type Span, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { createBoundedMap } from '../lib/bounded-map.ts'
import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import type { Event } from '../log/event.ts'
import { createSpanLedger } from './span-ledger.ts'
import { contextOf, type TraceContext, type Traces } from './traces.ts'

/** How many dispatched events are remembered until a stream takes them. */
const mostWaiting = 10_000
/** How many spans wait to be sent. The next ones are lost. */
const mostQueued = 10_000
/** How long the last spans may take to be sent when the service stops. */
const lastSendMs = 3000

/**
 * Sends spans of traced notifications to an OTLP endpoint: `kairan.publish` → `kairan.dispatch` → `kairan.deliver`.
 * Streams have no span, because it would last as long as the stream. While the endpoint is down, spans are lost, and
 * nothing else: that is counted, and said once.
 */
export const createOtelTraces = (options: {
  endpoint: string
  serviceName: string
  version: string
  instanceId: string
  report: Report
  /** Called with how many spans were lost. */
  onLost(spans: number): void
}): Traces => {
  /** How many were lost since the endpoint took some the last time. */
  let lost = 0
  const ledger = createSpanLedger({
    most: mostQueued,
    onLost(spans, why) {
      if (lost === 0) options.report.warn({ error: why }, 'Traces cannot be sent, and are lost.')
      lost += spans
      options.onLost(spans)
    },
    onSent() {
      if (lost > 0) options.report.info({ lost }, 'Traces are sent again.')
      lost = 0
    },
  })
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({
      'service.name': options.serviceName,
      'service.version': options.version,
      'service.instance.id': options.instanceId,
    }),
    spanProcessors: [
      ledger.processor(
        new BatchSpanProcessor(ledger.exporter(exporterTo(options.endpoint)), {
          scheduledDelayMillis: 1000,
          maxQueueSize: mostQueued,
        }),
      ),
    ],
  })
  const tracer = provider.getTracer('kairan', options.version)
  /** For each dispatched event its span, and when it was dispatched. */
  const waiting = createBoundedMap<{ span: Span; at: number }>(mostWaiting)

  const start = (
    name: string,
    {
      kind,
      at,
      parent,
      event,
    }: { kind: SpanKind; at: number; parent: TraceContext | Span; event?: Event },
  ) => {
    const spanContext =
      'spanContext' in parent
        ? parent.spanContext()
        : {
            traceId: parent.traceId,
            spanId: parent.spanId,
            traceFlags: parent.isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
            isRemote: true,
          }
    return tracer.startSpan(
      name,
      {
        kind,
        startTime: at,
        attributes: event ? attributesOf(event) : { 'messaging.system': 'kairan' },
      },
      trace.setSpanContext(context.active(), spanContext),
    )
  }

  return {
    publishing(text) {
      const parent = contextOf(text)
      if (!parent?.isSampled) return { traceparent: parent?.text ?? null, end: () => undefined }
      const span = start('kairan.publish', { kind: SpanKind.PRODUCER, at: Date.now(), parent })
      const { traceId, spanId } = span.spanContext()
      return {
        traceparent: `00-${traceId}-${spanId}-01`,
        end(error) {
          if (error !== undefined) {
            span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) })
          }
          span.end()
        },
      }
    },
    dispatched(events) {
      for (const event of events) {
        const parent = contextOf(event.traceparent)
        if (!parent?.isSampled) continue
        const published = Date.parse(event.createdAt)
        const now = Date.now()
        const at = Number.isFinite(published) ? Math.min(published, now) : now
        const span = start('kairan.dispatch', { kind: SpanKind.CONSUMER, at, parent, event })
        span.end(now)
        waiting.set(`${event.seq}`, { span, at: now })
      }
    },
    taken(event) {
      if (!event.traceparent) return
      const dispatched = waiting.get(`${event.seq}`)
      if (!dispatched) return
      waiting.delete(`${event.seq}`)
      const { span, at } = dispatched
      start('kairan.deliver', { kind: SpanKind.INTERNAL, at, parent: span, event }).end()
    },
    async stop() {
      await Promise.race([provider.shutdown().catch(() => undefined), Bun.sleep(lastSendMs)])
    },
  }
}

const exporterTo = (endpoint: string) =>
  new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, '')}/v1/traces` })

/** Attributes by the messaging conventions of OpenTelemetry. Channels of users are left out: there are too many. */
const attributesOf = ({ id, channel, type }: Event) => ({
  'messaging.system': 'kairan',
  'messaging.destination.template': channel.startsWith('user-') ? 'user-{id}' : channel,
  ...(id === null ? {} : { 'messaging.message.id': id }),
  ...(type === null ? {} : { 'kairan.type': type }),
})
