import type { Event } from '../log/event.ts'

/** The way of traced notifications, for OpenTelemetry. Of one that is not traced nothing is kept, and nothing is sent. */
export type Traces = {
  /**
   * Begins to publish over HTTP, as a part of the trace of the request. Gives what the row has to carry, and
   * `end`, which hears whether it failed.
   */
  publishing(traceparent: string | null): { traceparent: string | null; end(error?: unknown): void }
  /** Events of the log are on their way to the streams of this instance. */
  dispatched(events: Event[]): void
  /** The first stream of this instance has taken an event. */
  taken(event: Event): void
  /** Sends what waits, within a few seconds. */
  stop(): Promise<void>
}

/** When no endpoint is set: the trace of a request is carried along, and that is all. */
export const noTraces: Traces = {
  publishing: traceparent => ({
    traceparent: contextOf(traceparent)?.text ?? null,
    end: () => undefined,
  }),
  dispatched: () => undefined,
  taken: () => undefined,
  stop: async () => undefined,
}

/** A trace context, as `traceparent` of https://www.w3.org/TR/trace-context/ says it. */
export type TraceContext = { text: string; traceId: string; spanId: string; isSampled: boolean }

/** Reads a traceparent; null when it is none. */
export const contextOf = (text: string | null | undefined): TraceContext | null => {
  if (!text) return null
  const [, traceId = '', spanId = '', flags = ''] =
    /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(text) ?? []
  if (!/[^0]/.test(traceId) || !/[^0]/.test(spanId)) return null
  return { text, traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}
