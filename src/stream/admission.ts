import { type Auth, mayBeOfOthers } from '../auth/auth.ts'
import { namesIn, parseChannels } from '../auth/channels.ts'
import { forbidden } from '../auth/standing.ts'
import { isTicket, type Tickets } from '../auth/tickets.ts'
import { KairanError } from '../lib/errors.ts'
import { type Cursor, isOfStream, readLastEventId } from '../log/cursor.ts'
import { splitProof } from './ticket-proof.ts'

/** What a request for a stream asks for. */
export type Wish = {
  cursor: Cursor | null
  /** Whether the cursor is one that a stream carried, not one of the inbox. */
  isReturning: boolean
  /** Whether it may be a browser that reconnects, with the rest of a broken event. */
  mayHaveRest: boolean
  /** The channels of `?channels=`. */
  asked: readonly string[] | undefined
  /** The channels of `?also=`. */
  also: readonly string[]
  ticket: string | null
  /** That this browser was on the stream which the ticket opened. Counts only from a header. */
  proof: string | null
  /** A proof that came in the URL, so that others may have read it. */
  exposed: string | null
}

/** The user of a stream, and the channels that the stream is for. */
export type Admission = {
  userId: string
  expiresAt: number
  /** The application's channels that the token lets the user read. */
  subscribes: readonly string[]
  asked: readonly string[] | undefined
  also: readonly string[]
  /** The proof that the stream adds to its ids; null without a ticket. */
  proof: string | null
  /** Whether this browser has just spent a ticket, and knows no proof yet. */
  isFirst: boolean
}

/** Reads the request of a stream. Throws `bad_channels`. A cursor that can't be read is of another server: a gap. */
export const readWish = (request: Request): Wish => {
  const query = request.url.includes('?') ? new URL(request.url).searchParams : noQuery
  const inHeader = splitProof(request.headers.get('last-event-id') ?? '')
  const inUrl = splitProof(givenOf(query, 'last_event_id') || givenOf(query, 'lastEventId') || '')
  const cursor = inHeader.cursor || inUrl.cursor
  const channels = query.getAll('channels')
  return {
    cursor: cursor ? readLastEventId(cursor) : null,
    isReturning: Boolean(cursor && isOfStream(cursor)),
    mayHaveRest: request.headers.has('last-event-id') || isWebKit(request),
    asked: channels.length === 0 ? undefined : parseChannels(channels),
    also: namesIn(query.getAll('also')),
    ticket: givenOf(query, 'ticket'),
    proof: inHeader.proof,
    exposed: inUrl.proof,
  }
}

const noQuery = new URLSearchParams()

/** Only WebKit has such a rest, and it may be back before it knows an id that it could send. */
const isWebKit = (request: Request) =>
  /AppleWebKit\/(?!.*\bChrom(e|ium)\/)/.test(request.headers.get('user-agent') ?? '')

/** The first value of a member that is not empty, if any is not. */
const givenOf = (query: URLSearchParams, name: string) => {
  const values = query.getAll(name)
  return values.find(value => value !== '') ?? values[0] ?? null
}

/**
 * Admits a request by its token or its ticket. A ticket was put into the URL on purpose, so it counts before the
 * cookie, which browsers add to every request. Throws as `auth.identify` and `tickets.redeem` do, and
 * `channel_forbidden` for channels that the ticket is not for.
 */
export const admit = async (
  request: Request,
  { ticket, proof, asked, also, exposed }: Wish,
  { auth, tickets }: { auth: Auth; tickets: Tickets },
): Promise<Admission> => {
  if (exposed !== null) await tickets.expose(exposed)
  const isOurs = ticket !== null && isTicket(ticket)
  const header = request.headers.get('authorization')
  if (!isOurs || header !== null) {
    try {
      const { userId, expiresAt, subscribes } = await auth.identify(request)
      return { userId, expiresAt, subscribes, asked, also, proof: null, isFirst: false }
    } catch (error) {
      if (ticket === null || !isForeign(error) || !mayBeOfOthers(header)) throw error
    }
  }
  const { channels, ...grant } = await tickets.redeem(ticket, proof)
  return {
    ...grant,
    asked: channels ? narrow(channels, asked) : asked,
    also: channels ? also.filter(name => channels.includes(name)) : also,
    // Other clients can be told apart, and get a new ticket.
    isFirst: proof === null && (request.headers.get('accept')?.includes('event-stream') ?? false),
  }
}

/** Whether there is no token of this service: what a proxy adds, or no cookie of it. */
const isForeign = (error: unknown) =>
  error instanceof KairanError &&
  ['token_missing', 'token_invalid', 'origin_forbidden'].includes(error.code)

const narrow = (channels: readonly string[], asked: readonly string[] | undefined) => {
  const bad = asked?.find(name => !channels.includes(name))
  if (bad !== undefined) throw forbidden(bad, channels)
  return asked ?? channels
}
