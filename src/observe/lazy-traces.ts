import type { Report } from '../lib/report.ts'
import { noTraces, type Traces } from './traces.ts'

/** Traces that are sent from `start` on, or nothing when there is no endpoint. */
export const createTraces = ({
  endpoint,
  ...resource
}: {
  endpoint: string | null
  serviceName: string
  version: string
  instanceId: string
  report: Report
  onLost(spans: number): void
}): Traces & { start(): Promise<void> } => {
  let traces = noTraces
  return {
    async start() {
      if (endpoint === null) return
      // Loaded only when it is needed: OpenTelemetry is as much code as the rest.
      const { createOtelTraces } = await import('./otel.ts')
      traces = createOtelTraces({ endpoint, ...resource })
    },
    publishing: traceparent => traces.publishing(traceparent),
    dispatched: events => traces.dispatched(events),
    taken: event => traces.taken(event),
    stop: () => traces.stop(),
  }
}
