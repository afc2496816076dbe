import { Elysia } from 'elysia'
import type { CallerPlugin } from '../auth/caller-routes.ts'
import { mayPublish, requireScope } from '../auth/identity.ts'
import { uncached } from '../http/answer.ts'
import { KairanError } from '../lib/errors.ts'
import { createRate } from '../lib/rate-limit.ts'
import type { Turns } from '../lib/turns.ts'
import { isUuid } from '../lib/uuid.ts'
import { publishOperations } from './schema.ts'

/** What the route needs of stored notifications. Both throw `unavailable`. */
export type Withdraw = {
  /** The channels of a notification; null when there is none. */
  channelsOf(id: string): Promise<readonly string[] | null>
  /** Resolves with false when there is none, or it was withdrawn before. */
  withdraw(id: string): Promise<boolean>
}

/**
 * `DELETE /notifications/{id}`: withdraws a notification, for a token that may publish on each of its channels. To
 * repeat it is no error.
 */
export const withdrawRoute = (options: {
  caller: CallerPlugin
  store: Withdraw
  /** Notifications a second for each user. */
  publishRate: number
  /** Limits how many requests of a user withdraw at a time. */
  turns: Turns
}) => {
  const { publishRate: perSecond, store } = options
  const rate = createRate({ perSecond, burst: perSecond, what: 'withdrawals' })
  return new Elysia({ name: 'withdraw' }).use(options.caller).delete(
    '/notifications/:id',
    async ({ caller, params: { id } }) => {
      requireScope(caller)
      if (!isUuid(id)) throw notFound()
      await options.turns.run(caller.userId, async () => {
        const channels = await store.channelsOf(id)
        if (channels === null) throw notFound()
        if (!channels.every(channel => mayPublish(caller, channel))) throw forbidden()
        await store.withdraw(id)
      })
      return new Response(null, { status: 204, headers: uncached })
    },
    {
      caller: { rate },
      parse: 'none',
      detail: publishOperations['DELETE /notifications/:id'].detail,
    },
  )
}

const notFound = () =>
  new KairanError(
    'notification_not_found',
    'There is no notification of this id. It was never published, or RETENTION has removed it.',
  )

/** It does not say which channels: the caller knows the id only. */
const forbidden = () =>
  new KairanError(
    'channel_forbidden',
    'The token may not publish on all channels of this notification, so it may not withdraw it.',
  )
