import { KairanError } from '../lib/errors.ts'
import type { Identity } from './identity.ts'

/** What a ticket lets in. */
export type Grant = {
  userId: string
  /** When the token ends for which it was given, in Unix seconds. */
  expiresAt: number
  /** The channels that it is for; null for all that the user may read. */
  channels: string[] | null
}

/** Tickets and proofs come here as their hashes, in hex. */
export type TicketStore = {
  /** Keeps a ticket for so long, but no longer than its token. Returns its end. */
  add(hash: string, grant: Grant, seconds: number): Promise<Date>
  /** Spends a ticket, once: from then on its stream returns with this proof. */
  spend(hash: string, proof: string, seconds: number): Promise<Grant | null>
  /** Lets a stream return whose ticket was spent with this proof. */
  renew(hash: string, proof: string, seconds: number): Promise<Grant | null>
  /** Lets the ticket that was spent with this proof be spent once more, for so long, unless it is proven first. */
  release(proof: string, seconds: number): Promise<void>
  /** Ends the ticket that was spent with this proof. */
  forget(proof: string): Promise<void>
  /** The token of a stream with this proof ends later now: it can return for so long, but no longer than that. */
  extend(proof: string, expiresAt: number, seconds: number): Promise<void>
}

export type Tickets = {
  /** A new ticket of this identity. */
  issue(identity: Identity, channels: string[] | null): Promise<{ ticket: string; expiresAt: Date }>
  /**
   * Lets in a new ticket, or a spent one whose stream returns with its proof. Throws `ticket_invalid`.
   */
  redeem(ticket: string, proof: string | null): Promise<Grant & { proof: string }>
  /** Lets the ticket of a proof be spent once more, for half a minute: nobody may have got its stream. */
  release(proof: string): Promise<void>
  /** Ends the ticket of a proof that was shown in a URL. */
  expose(proof: string): Promise<void>
  /** Lets the stream of a proof return until another token ends, in Unix seconds. */
  extend(proof: string, expiresAt: number): Promise<void>
}

/** How long a ticket can be spent, in seconds. */
const ticketSeconds = 60

/** Within which a browser comes back whose stream was cut at once, in seconds. */
const releasedSeconds = 30

/**
 * One-time tickets, for browsers whose EventSource can send neither a header nor a cookie. A spent one
 * is worth nothing to who finds it in a log. But EventSource itself reconnects to the same URL: so the
 * stream tells its browser a proof, in its ids, and gets it back in Last-Event-ID, a header. Every
 * stream ends within `maxStreamAgeMs` or so; its proof counts for an hour longer.
 */
export const createTickets = (options: { store: TicketStore; maxStreamAgeMs: number }): Tickets => {
  const { store } = options
  const returnSeconds = (options.maxStreamAgeMs * 1.2) / 1000 + 3600

  return {
    async issue(identity, channels) {
      const ticket = random(32).toString('base64url')
      const grant = { userId: identity.userId, expiresAt: identity.expiresAt, channels }
      return { ticket, expiresAt: await store.add(hashOf(ticket), grant, ticketSeconds) }
    },
    async redeem(ticket, proof) {
      const hash = hashOf(ticket)
      const shown = proof ?? random(15).toString('hex')
      const grant = await (proof === null ? store.spend : store.renew)(
        hash,
        hashOf(shown),
        returnSeconds,
      )
      if (grant) return { ...grant, proof: shown }
      throw new KairanError(
        'ticket_invalid',
        'The ticket is unknown, too old or spent: a ticket opens one stream, within a minute. Get a new one.',
      )
    },
    release: proof => store.release(hashOf(proof), releasedSeconds),
    expose: proof => store.forget(hashOf(proof)),
    extend: (proof, expiresAt) => store.extend(hashOf(proof), expiresAt, returnSeconds),
  }
}

const random = (bytes: number) => Buffer.from(crypto.getRandomValues(new Uint8Array(bytes)))

const hashOf = (text: string) => new Bun.CryptoHasher('sha256').update(text).digest('hex')
