import { Elysia } from 'elysia'
import type { CallerPlugin } from '../auth/caller-routes.ts'
import { answer } from '../http/answer.ts'
import { KairanError } from '../lib/errors.ts'
import { createRate } from '../lib/rate-limit.ts'
import { isUuid } from '../lib/uuid.ts'
import type { Streams } from './streams.ts'

/** Tells the instance that has this stream of the user when its token ends. False when no instance has it. */
export type ExtendElsewhere = (
  streamId: string,
  userId: string,
  expiresAt: number,
) => Promise<boolean>

/**
 * `POST /notifications/stream/{id}/token`: the stream, on any instance, goes on until the token of this request
 * ends. Its channels are looked up again.
 */
export const streamTokenRoute = (options: {
  caller: CallerPlugin
  streams: Pick<Streams, 'extend'>
  extendElsewhere: ExtendElsewhere
}) => {
  const rate = createRate({ perSecond: 1, burst: 60, what: 'tokens' })
  return new Elysia({ name: 'stream-token' }).use(options.caller).post(
    '/notifications/stream/:id/token',
    async ({ caller: { userId, expiresAt }, params: { id } }) => {
      const isOpen =
        isUuid(id) &&
        (options.streams.extend(id, userId, expiresAt) ||
          (await options.extendElsewhere(id, userId, expiresAt)))
      if (!isOpen) {
        throw new KairanError(
          'stream_not_found',
          'You have no open stream of this id. Send the streamId of its ready event, or open another stream.',
        )
      }
      return answer({ expiresAt: new Date(expiresAt * 1000).toISOString() })
    },
    { caller: { rate }, parse: 'none' },
  )
}
