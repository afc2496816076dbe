import type { Event } from '../log/event.ts'

/** Follows traced notifications for OpenTelemetry. For others nothing is kept and nothing is sent. */
export type Traces = {
  /**
   * Starts the span of a publish over HTTP, within the trace of the request. Returns the traceparent for the row, and
   * `end`, which is called with the error if publishing failed.
   */
  publishing(traceparent: string | null): { traceparent: string | null; end(error?: unknown): void }
  /** Events of the log were dispatched to the streams of this instance. */
  dispatched(events: readonly Event[]): void
  /** The first stream of this instance has taken an event. */
  taken(event: Event): void
  /** Sends the remaining spans, within a few seconds. */
  stop(): Promise<void>
}

/** Used when no endpoint is set: it only passes the trace of a request on. */
export const noTraces: Traces = {
  publishing: traceparent => ({
    traceparent: contextOf(traceparent)?.text ?? null,
    end: () => undefined,
  }),
  dispatched: () => undefined,
  taken: () => undefined,
  stop: async () => undefined,
}

/** A trace context, as in the header `traceparent` of https://www.w3.org/TR/trace-context/. */
export type TraceContext = { text: string; traceId: string; spanId: string; isSampled: boolean }

/** Parses a traceparent. Returns null for anything else. */
export const contextOf = (text: string | null | undefined): TraceContext | null => {
  if (!text) return null
  const [, traceId = '', spanId = '', flags = ''] =
    /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(text) ?? []
  if (!/[^0]/.test(traceId) || !/[^0]/.test(spanId)) return null
  return { text, traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}
