import { Elysia } from 'elysia'
import type { Metrics } from './metrics.ts'

/** `GET /metrics`: for Prometheus, in its text format. Totals only: nothing about any user. */
export const metricsRoute = (
  metrics: Metrics,
  /** The metrics of the workers that share the port: whichever is asked answers for all. */
  others: () => object[],
) =>
  new Elysia({ name: 'metrics' }).get('/metrics', async () => {
    const { body, contentType } = await metrics.text(others())
    return new Response(body, {
      headers: { 'content-type': contentType, 'cache-control': 'no-store' },
    })
  })
