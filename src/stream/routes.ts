import { Elysia } from 'elysia'
import type { Auth } from '../auth/auth.ts'
import type { Tickets } from '../auth/tickets.ts'
import type { AddressOf } from '../http/address.ts'
import { userHeader } from '../http/user-header.ts'
import { KairanError, messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { reconnectFrame } from '../log/event.ts'
import { type Admission, admit, readWish, type Wish } from './admission.ts'
import { explainStream } from './explain-page.ts'
import type { Limits, Refusals } from './limits.ts'
import { streamOperations } from './schema.ts'
import { jitter } from './stream.ts'
import type { Streams } from './streams.ts'
import { proofFrame, proofId, withProof } from './ticket-proof.ts'

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
  limits: Limits
  refusals: Refusals
  addressOf: AddressOf
  retryMs: number
  /** Why no stream can begin now; null when it can. */
  refusal(): string | null
  report: Report
}) =>
  new Elysia({ name: 'stream' }).get(
    '/notifications/stream',
    async ({ request, server }) => {
      const askedAt = performance.now()
      // First of all, so that a link which somebody follows or looks at does not spend its ticket, nor
      // take what is pending: Elysia serves HEAD with the handler of GET.
      if (request.method === 'HEAD')
        return new Response(null, { status: 405, headers: { allow: 'GET' } })
      if (request.headers.get('sec-fetch-mode') === 'navigate') return explainStream()
      const failed = (error: unknown) =>
        options.report.warn({ error: messageOf(error) }, 'No stream can be opened.')
      const wish = readWish(request)
      const comeBackLater = (reason: string, proof: string | null = null) => {
        options.refusals.count(reason)
        return soften(reason, options.retryMs, wish, proof)
      }
      const refusal = options.refusal()
      if (refusal) return comeBackLater(refusal)
      const address = options.addressOf(request, server)
      // Before the token is checked, so that a refusal costs nothing and spends no ticket.
      const full = options.limits.enter(address)
      if (full) return comeBackLater(full)
      let caller: Admission | null = null
      try {
        caller = await admit(request, wish, options)
        const { userId, proof } = caller
        const stream = await options.streams.open({
          ...caller,
          cursor: wish.cursor,
          isReturning: wish.isReturning,
          mayHaveRest: wish.mayHaveRest,
          askedAt,
          address,
          signal: request.signal,
        })
        return respond(proof === null ? stream : withProof(stream, wish.cursor, proof), userId)
      } catch (error) {
        options.limits.leave(address)
        if (error instanceof KairanError && error.status < 500) throw error
        // A ticket that was spent just now must be good for coming back.
        const { proof = null, isFirst = false } = caller ?? {}
        if (isFirst && proof !== null) options.tickets.release(proof).catch(failed)
        if (request.signal.aborted) return new Response()
        failed(error)
        return comeBackLater('unavailable', proof)
      }
    },
    { detail: streamOperations['GET /notifications/stream'].detail },
  )

/**
 * The stream as the body, not as what the handler returns: Elysia would keep the request, and closures of its
 * own, as long as the stream lives.
 */
const respond = (frames: AsyncGenerator<Uint8Array, void>, userId: string) =>
  // @ts-expect-error The DOM's types do not say that Bun takes an async iterable as a body.
  new Response(frames, { headers: { ...headers, ...userHeader(userId) } })

/**
 * A browser gives up for good on any status but 200. So a refusal that will pass is a stream, too: it
 * says when to return, and ends.
 */
const soften = (reason: string, retryMs: number, wish: Wish, proof: string | null) => {
  const { cursor, mayHaveRest } = wish
  const id = proof === null ? undefined : proofId(cursor, proof)
  const body = reconnectFrame(reason, jitter(retryMs), id, mayHaveRest)
  // At once, so that a client which is cut off then can return. Who reconnects has an id, and WebKit takes none here.
  const first = proof === null || mayHaveRest ? [] : [proofFrame(cursor, proof)]
  return new Response(Buffer.concat([...first, body]), { headers })
}
