import type { AnyElysia } from 'elysia'
import type { Auth } from '../auth/auth.ts'
import type { Tickets } from '../auth/tickets.ts'
import { ticketRoute } from '../auth/tickets-routes.ts'
import type { Inbox, Reader } from '../inbox/inbox.ts'
import type { Receipts } from '../inbox/receipts.ts'
import { inboxRoutes } from '../inbox/routes.ts'
import { createRate } from '../lib/rate-limit.ts'
import type { Traces } from '../observe/traces.ts'
import type { Publish } from '../publish/request.ts'
import { publishRoute } from '../publish/routes.ts'
import type { Limits, Refusals } from '../stream/limits.ts'
import { streamRoute } from '../stream/routes.ts'
import type { Streams } from '../stream/streams.ts'
import { type ExtendElsewhere, streamTokenRoute } from '../stream/token-routes.ts'
import type { AddressOf } from './address.ts'

/** What programs and browsers use: publishing, tickets, streams, the inbox. */
export const apiRoutes = (options: {
  auth: Auth
  tickets: Tickets
  publish: Publish
  traces: Traces
  streams: Streams
  limits: Limits
  refusals: Refusals
  addressOf: AddressOf
  extendElsewhere: ExtendElsewhere
  inbox: Inbox
  receipts: Receipts
  readerOf(userId: string): Promise<Reader>
  publishRate: number
  maxEventBytes: number
  retryMs: number
  /** Why no stream can begin now; null when it can. */
  refusal(): string | null
  /** Throws `unavailable` until there are tables. */
  requireStarted(): void
  /** Hears why a stream could not be opened. */
  failed(error: unknown): void
}): AnyElysia[] => {
  return [
    publishRoute({
      ...options,
      // A batch has to fit, however slow the rate.
      rate: createRate({
        perSecond: options.publishRate,
        burst: Math.max(options.publishRate, 100),
        what: 'notifications',
      }),
    }),
    ticketRoute({
      ...options,
      rate: createRate({ perSecond: 1, burst: 60, what: 'tickets' }),
    }),
    streamRoute(options),
    streamTokenRoute({
      ...options,
      rate: createRate({ perSecond: 1, burst: 60, what: 'tokens' }),
    }),
    inboxRoutes({
      ...options,
      rate: createRate({ perSecond: 50, burst: 500, what: 'changes of the inbox' }),
    }),
  ]
}
