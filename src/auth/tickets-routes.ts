import { Elysia } from 'elysia'
import { mediaTypeOf, parseJson, readText, unsupportedMediaType } from '../http/body.ts'
import { KairanError } from '../lib/errors.ts'
import { createRate } from '../lib/rate-limit.ts'
import type { Auth } from './auth.ts'
import { isChannel } from './channels.ts'
import type { Tickets } from './tickets.ts'

/** `POST /notifications/tickets`: a one-time ticket for a stream of the caller, to be sent as `?ticket=`. */
export const ticketRoute = (options: { auth: Auth; tickets: Tickets; requireStarted(): void }) => {
  const rate = createRate({ perSecond: 1, burst: 60, what: 'tickets' })
  return new Elysia({ name: 'tickets' }).post(
    '/notifications/tickets',
    async ({ request }) => {
      options.requireStarted()
      const identity = await options.auth.identify(request)
      const channels = channelsOf(await readText(request, 65_536), request)
      rate(identity.userId)
      const { ticket, expiresAt } = await options.tickets.issue(identity, channels)
      return Response.json(
        { ticket, expiresAt: expiresAt.toISOString() },
        { status: 201, headers: { 'cache-control': 'no-store' } },
      )
    },
    { parse: 'none' },
  )
}

/** Whether the user may read them is asked when the stream opens, by the role level of then. */
const channelsOf = (text: string, request: Request) => {
  if (text === '') return null
  if (mediaTypeOf(request) !== 'application/json') throw unsupportedMediaType('application/json')
  const body = parseJson(text)
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new KairanError('bad_request', 'The body has to be a JSON object, or empty.')
  }
  const channels = 'channels' in body ? body.channels : null
  if (channels === null) return null
  if (Array.isArray(channels) && channels.length > 0 && channels.every(isChannel)) {
    return [...new Set(channels)]
  }
  throw new KairanError(
    'bad_channels',
    'channels has to be a list of channels: leave it out for all that you may read.',
  )
}
