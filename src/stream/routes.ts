import { Elysia } from 'elysia'
import type { Auth } from '../auth/auth.ts'
import type { Tickets } from '../auth/tickets.ts'
import type { AddressOf } from '../http/address.ts'
import { userHeader } from '../http/user-header.ts'
import { KairanError } from '../lib/errors.ts'
import type { Cursor } from '../log/cursor.ts'
import { reconnectFrame } from '../log/event.ts'
import { type Admission, admit, readWish } from './admission.ts'
import { explainStream } from './explain-page.ts'
import type { Limits, Refusals } from './limits.ts'
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
  failed(error: unknown): void
}) =>
  new Elysia({ name: 'stream' }).get('/notifications/stream', async ({ request, server, set }) => {
    // First of all, so that a link which somebody follows or looks at does not spend its ticket, nor
    // take what is pending: Elysia serves HEAD with the handler of GET.
    if (request.method === 'HEAD')
      return new Response(null, { status: 405, headers: { allow: 'GET' } })
    if (request.headers.get('sec-fetch-mode') === 'navigate') return explainStream()
    const wish = readWish(request)
    const comeBackLater = (reason: string, proof: string | null = null) => {
      options.refusals.count(reason)
      return soften(reason, options.retryMs, wish.cursor, proof)
    }
    const refusal = options.refusal()
    if (refusal) return comeBackLater(refusal)
    const address = options.addressOf(request, server)
    // Before anybody is let in, so that a refusal costs nothing and spends no ticket.
    const place = options.limits.enter(address)
    if (typeof place === 'string') return comeBackLater(place)
    let caller: Admission | null = null
    try {
      caller = await admit(request, wish, options)
      const { userId, expiresAt, asked, proof } = caller
      const stream = await options.streams.open({
        userId,
        expiresAt,
        asked,
        cursor: wish.cursor,
        isReturning: wish.isReturning,
        address,
        signal: request.signal,
        cut: cutter(server, request),
        ended: caller.isFirst ? releaser(place.leave, proof, options) : place.leave,
        extended: proof === null ? null : extender(proof, options),
      })
      Object.assign(set.headers, headers, userHeader(userId))
      return proof === null ? stream : withProof(stream, wish.cursor, proof)
    } catch (error) {
      place.leave()
      if (error instanceof KairanError && error.status < 500) throw error
      options.failed(error)
      // A ticket that was spent just now must be good for coming back.
      if (caller?.isFirst) releaser(() => undefined, caller.proof, options)()
      return comeBackLater('unavailable', caller?.proof)
    }
  })

/**
 * Nothing else ends a connection whose client has stopped reading. A function of its own, as it lives as
 * long as the stream: inside the handler it would keep all that the handler knew.
 */
const cutter = (server: Bun.Server<unknown> | null, request: Request) => () =>
  void server?.timeout(request, 1)

/** Lets the stream of a ticket return for as long as it was extended. A function of its own, as above. */
const extender =
  (proof: string, { tickets, failed }: { tickets: Tickets; failed(error: unknown): void }) =>
  (expiresAt: number) =>
    void tickets.extend(proof, expiresAt).catch(failed)

/** A stream that was cut sooner may have been cut before its browser knew the proof. */
const openingMs = 5000

/** Lets a ticket be spent again whose stream was cut at once: its browser can't prove that it had it. */
const releaser = (
  leave: () => void,
  proof: string | null,
  { tickets, failed }: { tickets: Tickets; failed(error: unknown): void },
) => {
  const openedAt = Date.now()
  return () => {
    leave()
    if (proof !== null && Date.now() - openedAt < openingMs) tickets.release(proof).catch(failed)
  }
}

/**
 * A browser gives up for good on any status but 200. So a refusal that will pass is a stream, too: it
 * says when to return, and ends.
 */
const soften = (reason: string, retryMs: number, cursor: Cursor | null, proof: string | null) => {
  const afterMs = jitter(retryMs)
  const body =
    proof === null
      ? reconnectFrame(reason, afterMs)
      : Buffer.concat([
          proofFrame(cursor, proof),
          reconnectFrame(reason, afterMs, proofId(cursor, proof)),
        ])
  return new Response(body, { headers })
}
