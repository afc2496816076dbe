import { KairanError } from '../lib/errors.ts'
import type { Identity } from './identity.ts'

/** What a ticket allows. */
export type Grant = {
  userId: string
  /** When the token expires for which the ticket was issued, in Unix seconds. */
  expiresAt: number
  /** The channels of the ticket; null for all that the user may read. */
  channels: string[] | null
  /** The application's channels that the token lets the user read: names, and beginnings that end in `*`. */
  subscribes: readonly string[]
}

/** What a ticket takes from a token. */
export type TokenFacts = Pick<Identity, 'expiresAt' | 'subscribes'>

/** Stores tickets. Tickets and proofs are passed as their hashes, in hex. */
export type TicketStore = {
  /** Stores a ticket for `seconds`, but not longer than its token is valid. Returns when it expires. */
  add(hash: string, grant: Grant, seconds: number): Promise<Date>
  /** Spends a ticket, once. Its stream reconnects with this proof from then on. */
  spend(hash: string, proof: string, seconds: number): Promise<Grant | null>
  /** Finds the spent ticket with this proof, and extends it for `seconds`. */
  renew(hash: string, proof: string, seconds: number): Promise<Grant | null>
  /** Lets the ticket that was spent with this proof be spent again within `seconds`, unless the proof is sent first. */
  release(proof: string, seconds: number): Promise<void>
  /** Removes the ticket that was spent with this proof. */
  forget(proof: string): Promise<void>
  /** Gives the ticket with this proof what another token allows, and until when. */
  extend(proof: string, token: TokenFacts, seconds: number): Promise<void>
}

export type Tickets = {
  /** Issues a new ticket. */
  issue(identity: Identity, channels: string[] | null): Promise<{ ticket: string; expiresAt: Date }>
  /**
   * Accepts a new ticket, or a spent one with the proof of its stream. Throws `ticket_invalid`.
   */
  redeem(ticket: string, proof: string | null): Promise<Grant & { proof: string }>
  /** Lets the ticket of a proof be spent again within half a minute: the client may not have received its stream. */
  release(proof: string): Promise<void>
  /** Removes the ticket of a proof that was sent in a URL, where others may read it. */
  expose(proof: string): Promise<void>
  /** Lets the stream of a proof reconnect until another token expires, with what that token allows. */
  extend(proof: string, token: TokenFacts): Promise<void>
}

/** Whether a text can be a ticket. Other services have a parameter of this name, too. */
export const isTicket = (text: string) => /^[\w-]{43}$/.test(text)

/** How long a new ticket is valid, in seconds. */
const ticketSeconds = 60

/** How soon a browser reconnects whose stream was cut at once, in seconds. */
const releasedSeconds = 30

/**
 * One-time tickets, for an EventSource that can send neither a header nor a cookie. A spent ticket is useless to a
 * reader of a log. But an EventSource reconnects to the same URL. So the ids of the stream contain a proof, which the
 * browser sends back in the header Last-Event-ID. A stream ends after about `maxStreamAgeMs`; its proof stays valid for
 * an hour longer.
 */
export const createTickets = (options: { store: TicketStore; maxStreamAgeMs: number }): Tickets => {
  const { store } = options
  const returnSeconds = (options.maxStreamAgeMs * 1.2) / 1000 + 3600

  return {
    async issue(identity, channels) {
      const ticket = random(32).toString('base64url')
      const { userId, expiresAt, subscribes } = identity
      const grant = { userId, expiresAt, channels, subscribes }
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
    extend: (proof, token) => store.extend(hashOf(proof), token, returnSeconds),
  }
}

const random = (bytes: number) => Buffer.from(crypto.getRandomValues(new Uint8Array(bytes)))

const hashOf = (text: string) => new Bun.CryptoHasher('sha256').update(text).digest('hex')
