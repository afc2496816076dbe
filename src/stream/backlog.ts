import { among } from '../auth/channels.ts'
import type { Turns } from '../lib/turns.ts'
import { type Cursor, formatCursor } from '../log/cursor.ts'
import { controlFrame, type Event, frameOf } from '../log/event.ts'
import type { Log, Page } from '../log/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Coalesce } from './coalesce.ts'
import { type Gap, gapAfter } from './gap.ts'
import type { Hub } from './hub.ts'
import type { Also } from './permissions.ts'
import type { Queued } from './queue.ts'
import type { Subscription } from './subscription.ts'

export type BacklogParts = {
  hub: Hub
  log: Log
  /** The streams of a user read the log in turns, so that hundreds of them keep nobody waiting. */
  turns: Turns
  /** Called with what a connection took. */
  taken(queued: Queued[], subscription: Subscription): void
  metrics: Pick<Metrics, 'gap' | 'lagging'>
  /** At most so many events are replayed to a client that returns. */
  replayLimit: number
  /** Puts what is queued into one write. */
  coalesce: Coalesce
  /** About how many bytes go into one write, and into one page of the backlog. */
  writeBytes: number
}

/** Where a stream begins: at the cursor of a client that returns, or with what is pending on a channel. */
export type Beginning = ({ cursor: Cursor } | { pendingOn: string | null }) & {
  /** Whether it may be a browser that reconnects, with the rest of a broken event. */
  mayHaveRest: boolean
  /** What `ready` says of the channels that it asked for besides; null when it asked for none. */
  also?: Also | null
}

/** What a subscription has missed, as bytes to write. */
export type Missed = AsyncGenerator<Uint8Array, void>

/** The `ready` of a stream and what it has to write before it can go live, or a part of it. */
export const begin = (
  subscription: Subscription,
  beginning: Beginning,
  parts: BacklogParts,
): Missed =>
  'cursor' in beginning
    ? resume(subscription, beginning.cursor, beginning.also ?? null, parts)
    : beginWithPending(subscription, beginning.pendingOn, beginning.also ?? null, parts)

/** The next page of what a subscription has missed. */
export async function* catchUp(subscription: Subscription, parts: BacklogParts): Missed {
  yield* writePage(await nextPage(subscription, parts), subscription, parts)
}

/** Goes on at a client's cursor. When events after it are missing, says so and begins at the head. */
async function* resume(
  subscription: Subscription,
  cursor: Cursor,
  also: Also | null,
  parts: BacklogParts,
): Missed {
  const { hub } = parts
  const log = logFor(subscription, parts)
  const gap = await gapAfter(cursor, subscription.channels, { ...parts, log })
  if (subscription.closed) return
  if (gap) {
    skipToHead(subscription, hub, gap.reason === 'log' ? 0 : cursor.seq)
    yield readyFrame(false, subscription, hub, also)
    yield gapFrame(gap, cursor, subscription, parts)
    return
  }
  if (hub.tryGoLive(subscription)) {
    yield readyFrame(true, subscription, hub, also)
    return
  }
  const page = await nextPage(subscription, parts)
  if (subscription.closed) return
  // Nothing missed: the client's cursor moves up, so that retention does not overtake it.
  const isCurrent = page.events.length === 0 && page.floor <= cursor.seq
  if (isCurrent) subscription.advanceTo(page.end)
  yield readyFrame(true, subscription, hub, also)
  yield* writePage(page, subscription, parts)
}

/**
 * Begins with what is pending on a channel. The subscription is live meanwhile: new events wait in its queue.
 * The ids are those of the log, so that a client which is cut off in between gets the rest when it resumes;
 * that of the last pending event is the head.
 */
async function* beginWithPending(
  subscription: Subscription,
  pendingOn: string | null,
  also: Also | null,
  parts: BacklogParts,
): Missed {
  const { hub, writeBytes } = parts
  const { epoch, head } = hub
  const log = logFor(subscription, parts)
  subscription.startAt(head)
  hub.tryGoLive(subscription)

  const nothing: Page = { events: [], end: head, floor: 0 }
  const nextPending = async (after: number): Promise<Page> => {
    if (pendingOn === null || !isOpenFor(pendingOn, subscription)) return nothing
    const page = await log.pendingPage(pendingOn, after, head, writeBytes)
    const events = page.events.filter(event => !subscription.mutes?.has(event))
    // All in a page may have expired: that is not the end.
    return events.length > 0 || page.end >= head ? { ...page, events } : nextPending(page.end)
  }
  const hasPending = pendingOn !== null && (await log.hasPending(pendingOn))
  let page = hasPending ? await nextPending(0) : nothing
  if (subscription.closed) return
  const first = page.events[0]?.seq ?? head + 1
  yield readyFrame(false, subscription, hub, also, first - 1)

  // The last one is kept back until it is known to be the last: it has another id.
  let last: Event | undefined
  let sent = 0
  while (page.events.length > 0 && !subscription.closed) {
    const events = last ? [last, ...page.events] : page.events
    last = events.pop()
    const frames = events.map(event => frameOf(event, epoch))
    yield* write(frames, subscription, parts)
    subscription.notePending(seqsOf(events))
    sent += frames.length
    if (page.end >= head || sent >= parts.replayLimit) break
    page = await nextPending(page.end)
  }
  if (!last || !isOpenFor(last.channel, subscription)) return
  yield* write([frameOf(last, epoch, head)], subscription, parts)
  subscription.notePending(seqsOf([last]))
  if (page.end < head) {
    // More is pending than is replayed at once. It stays pending.
    yield gapFrame({ reason: 'limit' }, { epoch, seq: page.end }, subscription, parts)
  }
}

const seqsOf = (events: Event[]) => events.flatMap(({ seq }) => seq ?? [])

const isOpenFor = (channel: string, { closed, channels }: Subscription) =>
  !closed && channels.includes(channel)

/**
 * The next page of what a subscription has missed, from memory if it is there. A page that was read for other
 * channels than the subscription has now is read again.
 */
const nextPage = async (subscription: Subscription, parts: BacklogParts): Promise<Page> => {
  await subscription.settled()
  const { channels, position } = subscription
  const { hub, writeBytes } = parts
  const page = hub.recent.covers(position)
    ? hub.recent.page(channels, position, writeBytes)
    : await logFor(subscription, parts).page(channels, position, hub.head, writeBytes)
  await subscription.settled()
  if (subscription.closed || subscription.channels === channels) return page
  return nextPage(subscription, parts)
}

/** The log, for the stream of one user. Who has left in the meantime asks nothing. */
const logFor = (subscription: Subscription, { log, turns }: BacklogParts): Log => {
  const inTurn = <T>(nothing: T, read: () => Promise<T>) =>
    turns.run(subscription.userId, async () => (subscription.closed ? nothing : read()))
  return {
    hasPending: log.hasPending,
    page: (channels, after, upTo, maxBytes) =>
      inTurn(noPage, () => log.page(channels, after, upTo, maxBytes)),
    pendingPage: (channel, after, upTo, maxBytes) =>
      inTurn(noPage, () => log.pendingPage(channel, after, upTo, maxBytes)),
    survey: (channels, after, limit) =>
      inTurn({ epoch: '', head: 0, floor: 0, missed: 0 }, () => log.survey(channels, after, limit)),
  }
}

const noPage: Page = { events: [], end: Number.MAX_SAFE_INTEGER, floor: 0 }

/** Writes a page of what a subscription has missed, or a gap when retention has removed some of it. */
async function* writePage(page: Page, subscription: Subscription, parts: BacklogParts): Missed {
  await subscription.settled()
  if (subscription.closed) return
  const { position } = subscription
  if (position < page.floor) {
    skipToHead(subscription, parts.hub, position)
    const from = { epoch: parts.hub.epoch, seq: position }
    yield gapFrame({ reason: 'retention' }, from, subscription, parts)
    return
  }
  // Its user may have lost a channel since the page was read.
  const isOpen = among(subscription.channels)
  const events = page.events.filter(event => isOpen(event.channel) && subscription.admits(event))
  yield* write(events.map(parts.hub.frameOf), subscription, parts)
  subscription.advanceTo(page.end)
}

/** Goes on at the head, or at `reached` where that of this instance is behind it: nothing is repeated. */
const skipToHead = (subscription: Subscription, hub: Hub, reached: number) => {
  subscription.startAt(Math.max(hub.head, reached))
  hub.tryGoLive(subscription)
}

/** Says that events after `from` are missing, up to where the stream goes on. The client resumes from there. */
const gapFrame = (
  gap: Gap,
  from: Cursor,
  { position }: Subscription,
  { hub: { epoch }, metrics }: BacklogParts,
) => {
  metrics.gap(gap.reason)
  const to = { epoch, seq: position }
  return controlFrame({ type: 'gap', ...gap, from: formatCursor(from), to: formatCursor(to) }, to)
}

/** Writes in one piece. The connection has taken it when the generator goes on. */
function* write(queued: Queued[], subscription: Subscription, parts: BacklogParts) {
  if (queued.length === 0) return
  yield parts.coalesce(queued)
  subscription.noteTaken()
  parts.taken(queued, subscription)
}

/** `head` tells the client which events were published before the stream began. */
const readyFrame = (
  resumed: boolean,
  { id, position }: Subscription,
  { epoch, head }: Hub,
  also: Also | null,
  seq = position,
) => {
  const cursor = { epoch, seq }
  const places = { cursor: formatCursor(cursor), head: formatCursor({ epoch, seq: head }) }
  const ready = controlFrame({ type: 'ready', resumed, ...places, streamId: id }, cursor)
  return also ? Buffer.concat([ready, controlFrame(also)]) : ready
}
