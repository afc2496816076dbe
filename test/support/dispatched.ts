import { eventually } from './eventually.ts'
import { metricOf } from './metric.ts'

/**
 * Waits until this instance has dispatched the log up to `head`. It knows a moment later than Postgres: until then a
 * stream that it opens begins before what is numbered already, and gets it live.
 */
export const dispatched = (service: { url: string }, head: number) =>
  eventually(async () => (await metricOf(service, 'kairan_log_head')) >= head)
