import { type Cursor, formatCursor } from './cursor.ts'

/** One notification on one channel, on its way to the streams of that channel. */
export type Event = {
  /** Its position in the log; null for an event of the live path, which is not stored. */
  seq: number | null
  /** The notification's id; null for a live event that did not say one. */
  id: string | null
  channel: string
  type: string | null
  createdAt: string
  /** Unix milliseconds from which on it is not sent any more, or null. */
  expiresAt: number | null
  /**
   * The payload as JSON text, without `metadata`. It is never parsed on its way from the table to
   * the browser, so every number keeps its digits and a key like `__proto__` is only a key.
   */
  payload: string
  /** `payload.metadata` as the JSON text of an object, or null. */
  metadata: string | null
  /** The trace that it belongs to, as its row says: see traces.ts. */
  traceparent?: string | null
  /** Its bytes, from when a stream first needs them: see the hub. */
  frame?: Frame | null
}

/** An event as bytes on the wire. Encoded once, and shared by every stream that carries it. */
export type Frame = {
  bytes: Uint8Array
  event: Event
  /** How many streams took it since its status was last written. */
  recipients: number
}

/** Encodes an event. `seq` is where a client resumes that has read it: its own, unless told. */
export const frameOf = (event: Event, epoch: string, seq = event.seq): Frame => {
  const id = seq === null ? '' : `id: ${formatCursor({ epoch, seq })}\n`
  return { bytes: encode(`${id}data: ${jsonOf(event)}\n\n`), event, recipients: 0 }
}

/** An event as the JSON that clients get: on a stream, and in the inbox with these members more. */
export const jsonOf = (event: Event, more: Record<string, unknown> = {}) =>
  Object.entries(more).reduce(
    (json, [name, value]) => withMember(json, `"${name}":${JSON.stringify(value)}`),
    `{"channel":${JSON.stringify(event.channel)},"payload":${withDeliveryChannel(event)},` +
      `"id":${JSON.stringify(event.id)},"type":${JSON.stringify(event.type)},` +
      `"createdAt":${JSON.stringify(event.createdAt)}${expiry(event.expiresAt)}}`,
  )

/** A `control` event. With a cursor or an id, it also moves the client's Last-Event-ID there. */
export const controlFrame = (
  data: { type: string; [key: string]: unknown },
  cursor?: Cursor | string,
) => {
  const id = typeof cursor === 'object' ? formatCursor(cursor) : cursor
  return encode(`event: control\ndata: ${JSON.stringify(data)}\n${id ? `id: ${id}\n` : ''}\n`)
}

/** The first bytes of a stream: they make proxies and browsers take it as open. */
export const openingFrame = (retryMs: number, mayHaveRest: boolean) =>
  encode(`${retryText(retryMs, mayHaveRest)}event: ping\ndata: connected\n\n`)

/** The last words of a stream whose client should come back after `afterMs`. */
export const reconnectFrame = (reason: string, afterMs: number, id?: string, mayHaveRest = false) =>
  Buffer.concat([
    encode(retryText(afterMs, mayHaveRest)),
    controlFrame({ type: 'reconnect', reason, afterMs: Math.round(afterMs) }, id),
  ])

/**
 * The last words of a stream whose user has opened too many others. EventSource would come back all the
 * same, and another one would have to go: so it is told to take its time.
 */
export const replacedFrame = (afterMs: number) =>
  Buffer.concat([encode(retryText(afterMs)), controlFrame({ type: 'replaced' })])

/**
 * WebKit keeps what it had of an event when a connection broke, and takes the first block of the next stream for the
 * rest of it. As that has no data of its own, it is no event anywhere; with the name of a ping, the rest that WebKit
 * had becomes a ping, rather than a broken event or one that comes twice.
 */
const retryText = (ms: number, mayHaveRest = false) =>
  `retry: ${Math.round(ms)}\n${mayHaveRest ? 'event: ping\n' : ''}\n`

/** A comment that keeps proxies and timers quiet. */
export const heartbeatFrame = new TextEncoder().encode(':\n\n')

/** Only where there is one. JSON's dates have four digits for the year, as in kairan.iso. */
const expiry = (expiresAt: number | null) =>
  expiresAt !== null && Number.isFinite(expiresAt)
    ? `,"expiresAt":"${new Date(Math.min(expiresAt, endOfDates)).toISOString()}"`
    : ''

/** The last millisecond of the year 9999. */
const endOfDates = 253_402_300_799_999

const withDeliveryChannel = ({ payload, metadata, channel }: Event) =>
  withMember(
    payload,
    `"metadata":${withMember(metadata ?? '{}', `"deliveryChannel":${JSON.stringify(channel)}`)}`,
  )

/** Adds a member to the JSON text of an object, which does not have it yet. */
const withMember = (object: string, member: string) =>
  object === '{}' ? `{${member}}` : `${object.slice(0, -1)},${member}}`

const encoder = new TextEncoder()
const encode = (text: string) => encoder.encode(text)
