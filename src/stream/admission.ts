import type { Auth } from '../auth/auth.ts'
import { chooseChannels, parseChannels } from '../auth/channels.ts'
import type { Tickets } from '../auth/tickets.ts'
import { type Cursor, parseCursor } from '../log/cursor.ts'
import { splitProof } from './ticket-proof.ts'

/** What a request for a stream asks for. */
export type Wish = {
  cursor: Cursor | null
  /** The channels of `?channels=`. */
  asked: string[] | undefined
  ticket: string | null
  /** That this browser was on the stream which the ticket opened. Counts only from a header. */
  proof: string | null
  /** A proof that came in the URL, so that others may have read it. */
  exposed: string | null
}

/** Who is let in to a stream, and for which channels. */
export type Admission = {
  userId: string
  expiresAt: number
  asked: string[] | undefined
  /** What has to be in the ids of the stream. */
  proof: string | null
}

/** Reads what is asked for. Throws `bad_cursor` or `bad_channels`. */
export const readWish = (request: Request): Wish => {
  const query = new URL(request.url).searchParams
  const inHeader = splitProof(request.headers.get('last-event-id') ?? '')
  const inUrl = splitProof(query.get('last_event_id') || query.get('lastEventId') || '')
  const cursor = inHeader.cursor || inUrl.cursor
  const channels = query.get('channels')
  return {
    cursor: cursor ? parseCursor(cursor) : null,
    asked: channels === null ? undefined : parseChannels(channels),
    ticket: query.get('ticket'),
    proof: inHeader.proof,
    exposed: inUrl.proof,
  }
}

/**
 * Lets in by token or by ticket. A ticket was written into the URL on purpose, so it goes before the
 * cookie, which browsers add to everything. Throws as `auth.identify` and `tickets.redeem` do, and
 * `channel_forbidden` for channels that the ticket is not for.
 */
export const admit = async (
  request: Request,
  { ticket, proof, asked, exposed }: Wish,
  { auth, tickets }: { auth: Auth; tickets: Tickets },
): Promise<Admission> => {
  if (exposed !== null) await tickets.expose(exposed)
  if (ticket === null || request.headers.has('authorization')) {
    const { userId, expiresAt } = await auth.identify(request)
    return { userId, expiresAt, asked, proof: null }
  }
  const { channels, ...grant } = await tickets.redeem(ticket, proof)
  return { ...grant, asked: channels ? chooseChannels(channels, asked) : asked }
}
