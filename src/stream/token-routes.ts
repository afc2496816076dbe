import { Elysia } from 'elysia'
import type { CallerPlugin } from '../auth/caller-routes.ts'
import { answer } from '../http/answer.ts'
import { createRate } from '../lib/rate-limit.ts'
import { isUuid } from '../lib/uuid.ts'
import type { ExtendElsewhere } from './presence.ts'
import { streamOperations } from './schema.ts'
import { type Streams, streamNotFound } from './streams.ts'

/**
 * `POST /notifications/stream/{streamId}/token`: the stream, on any instance, goes on until the token of this request
 * ends. Its channels are looked up again.
 */
export const streamTokenRoute = (options: {
  caller: CallerPlugin
  streams: Pick<Streams, 'extend'>
  extendElsewhere: ExtendElsewhere
}) => {
  const rate = createRate({ perSecond: 1, burst: 60, what: 'tokens' })
  return new Elysia({ name: 'stream-token' }).use(options.caller).post(
    '/notifications/stream/:streamId/token',
    async ({ caller, params: { streamId: id } }) => {
      const isOpen =
        isUuid(id) &&
        ((await options.streams.extend(id, caller)) || (await options.extendElsewhere(id, caller)))
      if (!isOpen) throw streamNotFound()
      return answer({ expiresAt: new Date(caller.expiresAt * 1000).toISOString() })
    },
    {
      caller: { rate },
      parse: 'none',
      detail: streamOperations['POST /notifications/stream/:streamId/token'].detail,
    },
  )
}
