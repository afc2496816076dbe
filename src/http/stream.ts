import { Elysia } from 'elysia'
import { KairanError } from '../errors.ts'
import { reconnectFrame } from '../event.ts'
import { proofFrame, withProof } from '../proof.ts'
import { jitter } from '../stream.ts'
import type { Streams } from '../streams.ts'
import type { Tickets } from '../tickets.ts'
import { type Admission, admit, readWish } from './admission.ts'
import type { Auth } from './auth.ts'
import { explainStream } from './explain.ts'

const headers = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'private, no-store, no-transform',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
}

/** `GET /notifications/stream`: the events of the caller's channels, as Server-Sent Events. */
export const streamRoute = (options: {
  auth: Auth
  tickets: Tickets
  streams: Streams
  retryMs: number
  /** Why no stream can begin now; null when it can. */
  refusal(): string | null
  failed(error: unknown): void
}) =>
  new Elysia({ name: 'stream' }).get('/notifications/stream', async ({ request, server, set }) => {
    // First of all, so that a link which somebody follows or looks at does not spend its ticket, nor
    // take what is pending: Elysia serves HEAD with the handler of GET.
    if (request.method === 'HEAD')
      return new Response(null, { status: 405, headers: { allow: 'GET' } })
    if (request.headers.get('sec-fetch-mode') === 'navigate') return explainStream()
    const wish = readWish(request)
    const refusal = options.refusal()
    if (refusal) return comeBackLater(refusal, options.retryMs)
    let caller: Admission | null = null
    try {
      caller = await admit(request, wish, options)
      const stream = await options.streams.open({
        userId: caller.userId,
        expiresAt: caller.expiresAt,
        cursor: wish.cursor,
        asked: caller.asked,
        signal: request.signal,
        cut: cutter(server, request),
      })
      Object.assign(set.headers, headers)
      return caller.proof === null ? stream : withProof(stream, wish.cursor, caller.proof)
    } catch (error) {
      if (error instanceof KairanError && error.status < 500) throw error
      options.failed(error)
      // A ticket that was spent just now must be good for coming back.
      const proof = caller?.proof ? [proofFrame(wish.cursor, caller.proof)] : []
      return comeBackLater('unavailable', options.retryMs, ...proof)
    }
  })

/**
 * Nothing else ends a connection whose client has stopped reading. A function of its own, as it lives as
 * long as the stream: inside the handler it would keep all that the handler knew.
 */
const cutter = (server: Bun.Server<unknown> | null, request: Request) => () =>
  void server?.timeout(request, 1)

/**
 * A browser gives up for good on any status but 200. So a refusal that will pass is a stream, too: it
 * says when to return, and ends.
 */
const comeBackLater = (reason: string, retryMs: number, ...before: Uint8Array[]) =>
  new Response(Buffer.concat([...before, reconnectFrame(reason, jitter(retryMs))]), { headers })
