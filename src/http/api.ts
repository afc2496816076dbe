import type { AnyElysia } from 'elysia'
import { KairanError } from '../errors.ts'
import type { Limits, Refusals } from '../limits.ts'
import type { Publish } from '../publication.ts'
import { createRate } from '../rate.ts'
import type { Streams } from '../streams.ts'
import type { Tickets } from '../tickets.ts'
import type { AddressOf } from './address.ts'
import type { Auth } from './auth.ts'
import { publishRoute } from './publish.ts'
import { streamRoute } from './stream.ts'
import { type ExtendElsewhere, streamTokenRoute } from './stream-token.ts'
import { ticketRoute } from './tickets.ts'

/** What programs and browsers use: publishing, tickets, streams. */
export const apiRoutes = (options: {
  auth: Auth
  tickets: Tickets
  publish: Publish
  streams: Streams
  limits: Limits
  refusals: Refusals
  addressOf: AddressOf
  extendElsewhere: ExtendElsewhere
  publishRate: number
  maxEventBytes: number
  retryMs: number
  /** Why no stream can begin now; null when it can. */
  refusal(): string | null
  /** Hears why a stream could not be opened. */
  failed(error: unknown): void
}): AnyElysia[] => {
  /** Before that there may be no table to write to. */
  const requireStarted = () => {
    if (options.refusal() !== 'starting') return
    throw new KairanError('unavailable', 'The service is starting. Try again soon.', {
      retryAfter: 1,
    })
  }
  return [
    publishRoute({
      ...options,
      requireStarted,
      // A batch has to fit, however slow the rate.
      rate: createRate({
        perSecond: options.publishRate,
        burst: Math.max(options.publishRate, 100),
        what: 'notifications',
      }),
    }),
    ticketRoute({
      ...options,
      requireStarted,
      rate: createRate({ perSecond: 1, burst: 60, what: 'tickets' }),
    }),
    streamRoute(options),
    streamTokenRoute({
      ...options,
      requireStarted,
      rate: createRate({ perSecond: 1, burst: 60, what: 'tokens' }),
    }),
  ]
}
