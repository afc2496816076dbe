import { Elysia } from 'elysia'
import { answer } from '../http/answer.ts'
import { readOptionalObject, requireMembers } from '../http/body.ts'
import { excerpt } from '../lib/characters.ts'
import { KairanError } from '../lib/errors.ts'
import { createRate } from '../lib/rate-limit.ts'
import type { CallerPlugin } from './caller-routes.ts'
import { isChannel } from './channels.ts'
import { ticketOperations } from './schema.ts'
import type { Tickets } from './tickets.ts'

/** `POST /notifications/tickets`: issues a one-time ticket for a stream of the caller, which is sent as `?ticket=`. */
export const ticketRoute = (options: { caller: CallerPlugin; tickets: Tickets }) => {
  const rate = createRate({ perSecond: 1, burst: 60, what: 'tickets' })
  return new Elysia({ name: 'tickets' }).use(options.caller).post(
    '/notifications/tickets',
    async ({ caller, request }) => {
      const { object } = await readOptionalObject(request, 65_536)
      const channels = readChannels(object)
      const { ticket, expiresAt } = await options.tickets.issue(caller, channels)
      return answer({ ticket, expiresAt: expiresAt.toISOString() }, { status: 201 })
    },
    {
      caller: { rate },
      parse: 'none',
      detail: ticketOperations['POST /notifications/tickets'].detail,
    },
  )
}

/**
 * Reads `{"channels"}`, if there are any. Whether the user may read them is decided when the stream opens, by the
 * permissions of that moment. Throws `bad_request` and `bad_channels`.
 */
export const readChannels = (body: Record<string, unknown>) => {
  requireMembers(body, ['channels'])
  const { channels = null } = body
  if (channels === null) return null
  if (Array.isArray(channels) && channels.length > 0 && channels.every(isChannel)) {
    return [...new Set(channels)]
  }
  throw new KairanError(
    'bad_channels',
    `channels has to be a list of channels, not ${excerpt(channels)}. Leave it out for all that you may read.`,
  )
}
