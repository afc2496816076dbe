import type { ReadableSpan, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace-base'

/**
 * Counts the spans that are lost: those that the endpoint does not take, and those for which the queue has no place.
 * OpenTelemetry's own parts count neither.
 */
export const createSpanLedger = (options: {
  /** How many spans may wait. It has to be the limit of the queue behind `processor`. */
  most: number
  onLost(spans: number, why: string): void
  onSent(spans: number): void
}) => {
  let waiting = 0

  return {
    exporter: (inner: SpanExporter): SpanExporter => ({
      export(spans, done) {
        waiting -= spans.length
        inner.export(spans, result => {
          if (result.code === 0) options.onSent(spans.length)
          else options.onLost(spans.length, result.error?.message ?? 'the endpoint refused them')
          done(result)
        })
      },
      shutdown: () => inner.shutdown(),
      forceFlush: async () => inner.forceFlush?.(),
    }),
    processor: (inner: SpanProcessor): SpanProcessor => ({
      onStart: (span, context) => inner.onStart(span, context),
      onEnd(span: ReadableSpan) {
        if (waiting >= options.most) return options.onLost(1, 'too many wait to be sent')
        waiting++
        inner.onEnd(span)
      },
      shutdown: () => inner.shutdown(),
      forceFlush: () => inner.forceFlush(),
    }),
  }
}
