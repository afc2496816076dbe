import { Elysia } from 'elysia'
import type { Auth } from '../auth/auth.ts'
import { KairanError } from '../lib/errors.ts'
import { createRate } from '../lib/rate-limit.ts'
import { isUuid } from '../lib/uuid.ts'
import type { Streams } from './streams.ts'

/** Tells the instance that has a stream of this user when its token ends; false when nobody has it. */
export type ExtendElsewhere = (
  streamId: string,
  userId: string,
  expiresAt: number,
) => Promise<boolean>

/**
 * `POST /notifications/stream/{id}/token`: the stream goes on until the token that is sent with it ends, on
 * whichever instance it is, with the channels of now.
 */
export const streamTokenRoute = (options: {
  auth: Auth
  streams: Streams
  extendElsewhere: ExtendElsewhere
  requireStarted(): void
}) => {
  const rate = createRate({ perSecond: 1, burst: 60, what: 'tokens' })
  return new Elysia({ name: 'stream-token' }).post(
    '/notifications/stream/:id/token',
    async ({ request, params: { id } }) => {
      options.requireStarted()
      const { userId, expiresAt } = await options.auth.identify(request)
      rate(userId)
      const isOpen =
        isUuid(id) &&
        (options.streams.extend(id, userId, expiresAt) ||
          (await options.extendElsewhere(id, userId, expiresAt)))
      if (!isOpen) {
        throw new KairanError(
          'stream_not_found',
          'You have no open stream of this id: it is the streamId of its ready. Open another one.',
        )
      }
      return Response.json(
        { expiresAt: new Date(expiresAt * 1000).toISOString() },
        { headers: { 'cache-control': 'no-store' } },
      )
    },
    { parse: 'none' },
  )
}
