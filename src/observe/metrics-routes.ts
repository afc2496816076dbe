import { Elysia } from 'elysia'
import { uncached } from '../http/answer.ts'
import { serviceOperations } from '../http/service-schema.ts'
import type { Metrics } from './metrics.ts'

/** `GET /metrics`: the metrics in the text format of Prometheus. They are totals, without anything about a user. */
export const metricsRoute = (
  metrics: Metrics,
  /** The metrics of the other workers that share the port: each worker answers for all. */
  others: () => object[],
) =>
  new Elysia({ name: 'metrics' }).get(
    '/metrics',
    async () => {
      const { body, contentType } = await metrics.text(others())
      return new Response(body, {
        headers: { 'content-type': contentType, ...uncached },
      })
    },
    { detail: serviceOperations['GET /metrics'].detail },
  )
