import { Elysia } from 'elysia'
import { parseChannels } from '../channels.ts'
import { parseCursor } from '../cursor.ts'
import { KairanError } from '../errors.ts'
import { reconnectFrame } from '../event.ts'
import { jitter } from '../stream.ts'
import type { Streams } from '../streams.ts'
import type { Auth } from './auth.ts'

const headers = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'private, no-store, no-transform',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
}

/** `GET /notifications/stream`: the events of the caller's channels, as Server-Sent Events. */
export const streamRoute = (options: {
  auth: Auth
  streams: Streams
  retryMs: number
  /** Why no stream can begin now; null when it can. */
  refusal(): string | null
  failed(error: unknown): void
}) =>
  new Elysia({ name: 'stream' }).get('/notifications/stream', async ({ request, server, set }) => {
    const identity = await options.auth.identify(request)
    const query = new URL(request.url).searchParams
    const last =
      request.headers.get('last-event-id') || query.get('last_event_id') || query.get('lastEventId')
    const cursor = last ? parseCursor(last) : null
    const channels = query.get('channels')
    const asked = channels === null ? undefined : parseChannels(channels)
    const refusal = options.refusal()
    if (refusal) return comeBackLater(refusal, options.retryMs)
    try {
      const stream = await options.streams.open({
        ...identity,
        cursor,
        asked,
        signal: request.signal,
        // Nothing else ends a connection whose client has stopped reading.
        cut: () => server?.timeout(request, 1),
      })
      Object.assign(set.headers, headers)
      return stream
    } catch (error) {
      if (error instanceof KairanError) throw error
      options.failed(error)
      return comeBackLater('unavailable', options.retryMs)
    }
  })

/**
 * A browser gives up for good on any status but 200. So a refusal that will pass is a stream, too: it
 * says when to return, and ends.
 */
const comeBackLater = (reason: string, retryMs: number) =>
  new Response(reconnectFrame(reason, jitter(retryMs)), { headers })
