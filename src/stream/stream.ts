import { type Cursor, formatCursor } from '../log/cursor.ts'
import { controlFrame, type Event, frameOf, openingFrame, reconnectFrame } from '../log/event.ts'
import type { Log, Page } from '../log/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Join } from './coalesce.ts'
import { type Gap, gapAfter } from './gap.ts'
import type { Hub } from './hub.ts'
import type { Queued, Subscription } from './subscription.ts'

export type StreamParts = {
  hub: Hub
  log: Log
  /** Called with what the connection took. */
  taken(queued: Queued[]): void
  /** Hears why a stream had to be ended. */
  failed(error: unknown): void
  metrics: Pick<Metrics, 'gap' | 'lagging'>
  /** Hears that a stream has ended. */
  ended(subscription: Subscription): void
  /** Where the random `retry:` of each connection lies around, in milliseconds. */
  retryMs: number
  /** At most so many events are replayed to a client that returns. */
  replayLimit: number
  /** Puts what is queued into one write. */
  join: Join
  /** About how many bytes go into one write, and into one page of the backlog. */
  writeBytes: number
}

/** Where a stream begins: at the cursor of a client that returns, or with what is pending. */
export type Beginning = { cursor: Cursor } | { pendingOn: string | null }

/**
 * One connection's life: the opening, what it has missed, then live until its subscription is closed.
 * The subscription is given back however the stream ends.
 */
export async function* stream(
  subscription: Subscription,
  beginning: Beginning,
  parts: StreamParts,
): AsyncGenerator<Uint8Array, void> {
  const { hub, writeBytes } = parts
  try {
    yield openingFrame(jitter(parts.retryMs))
    if ('cursor' in beginning) yield* resume(subscription, beginning.cursor, parts)
    else yield* begin(subscription, beginning.pendingOn, parts)

    while (!subscription.closed) {
      await subscription.settled()
      if (subscription.closed) break
      if (subscription.lagging) {
        const { lost } = subscription
        subscription.lagging = false
        subscription.lost = 0
        parts.metrics.lagging()
        yield controlFrame({ type: 'lagging', lost })
      } else if (hub.join(subscription)) {
        const queued = subscription.take(writeBytes)
        if (queued.length > 0) {
          // Not `yield*`: this is where every live event passes.
          yield parts.join(queued)
          taken(queued, subscription, parts)
        } else await subscription.wait()
      } else {
        yield* catchUp(await nextPage(subscription, parts), subscription, parts)
      }
    }
    if (subscription.farewell) yield subscription.farewell
  } catch (error) {
    // The log can't be read. The client returns with its cursor, perhaps to another instance.
    parts.failed(error)
    yield reconnectFrame('unavailable', jitter(parts.retryMs))
  } finally {
    hub.unsubscribe(subscription)
    parts.ended(subscription)
  }
}

/** A random time around `ms`, so that clients which left together don't return together. */
export const jitter = (ms: number) => Math.round(ms * (0.5 + Math.random()))

/** Goes on where a client left off, or says that something is missing and begins at the head. */
async function* resume(subscription: Subscription, cursor: Cursor, parts: StreamParts) {
  const { hub } = parts
  const gap = await gapAfter(cursor, subscription.channels, parts)
  if (subscription.closed) return
  if (gap) {
    skipToHead(subscription, hub)
    yield readyFrame(false, subscription, hub)
    yield gapFrame(gap, cursor, subscription, parts)
    return
  }
  if (hub.join(subscription)) {
    yield readyFrame(true, subscription, hub)
    return
  }
  const page = await nextPage(subscription, parts)
  if (subscription.closed) return
  // Nothing missed: the client's cursor moves up, so that retention does not overtake it.
  const isCurrent = page.events.length === 0 && page.floor <= cursor.seq
  if (isCurrent) subscription.position = page.end
  yield readyFrame(true, subscription, hub)
  yield* catchUp(page, subscription, parts)
}

/**
 * Begins with what is pending on a channel. The subscription is live meanwhile: what is new waits in
 * its queue. Until the last pending event the ids are those of the log, so that a client which is cut
 * off in between gets the rest when it resumes; the last one takes it to the head.
 */
async function* begin(subscription: Subscription, pendingOn: string | null, parts: StreamParts) {
  const { hub, log, writeBytes } = parts
  const { epoch, head } = hub
  subscription.position = head
  subscription.since = head
  hub.join(subscription)

  const nothing: Page = { events: [], end: head, floor: 0 }
  const nextPending = async (after: number): Promise<Page> => {
    if (pendingOn === null || !isOpenFor(pendingOn, subscription)) return nothing
    const page = await log.pendingPage(pendingOn, after, head, writeBytes)
    // All in a page may have expired: that is not the end.
    return page.events.length > 0 || page.end >= head ? page : nextPending(page.end)
  }
  const hasPending = pendingOn !== null && (await log.hasPending(pendingOn))
  let page = hasPending ? await nextPending(0) : nothing
  if (subscription.closed) return
  const first = page.events[0]?.seq ?? head + 1
  yield readyFrame(false, subscription, hub, first - 1)

  let held: Event | undefined
  let sent = 0
  while (page.events.length > 0 && !subscription.closed) {
    const events = held ? [held, ...page.events] : page.events
    held = events.pop()
    const frames = events.map(event => frameOf(event, epoch))
    yield* write(frames, subscription, parts)
    remember(events, subscription)
    sent += frames.length
    if (page.end >= head || sent >= parts.replayLimit) break
    page = await nextPending(page.end)
  }
  if (!held || !isOpenFor(held.channel, subscription)) return
  yield* write([frameOf(held, epoch, head)], subscription, parts)
  remember([held], subscription)
  if (page.end < head) {
    // More is pending than is replayed at once. It stays pending.
    yield gapFrame({ reason: 'limit' }, { epoch, seq: page.end }, subscription, parts)
  }
}

/** Beyond so many, what was pending is not confirmed by a cursor. */
const mostRemembered = 1000

const remember = (events: Event[], { pending }: Subscription) => {
  for (const { seq } of events) {
    if (seq !== null && pending.length < mostRemembered) pending.push(seq)
  }
}

const isOpenFor = (channel: string, { closed, channels }: Subscription) =>
  !closed && channels.includes(channel)

/**
 * The next page of what a subscription has missed: from memory if it is held there. One that was read for
 * other channels than it has now is read again.
 */
const nextPage = async (subscription: Subscription, parts: StreamParts): Promise<Page> => {
  await subscription.settled()
  const { channels, position } = subscription
  const { hub, log, writeBytes } = parts
  const page = hub.recent.covers(position)
    ? hub.recent.page(channels, position, writeBytes)
    : await log.page(channels, position, hub.head, writeBytes)
  await subscription.settled()
  if (subscription.closed || subscription.channels === channels) return page
  return nextPage(subscription, parts)
}

/** Writes a page of what a subscription has missed, unless some of it was removed in the meantime. */
async function* catchUp(page: Page, subscription: Subscription, parts: StreamParts) {
  await subscription.settled()
  if (subscription.closed) return
  const { position } = subscription
  if (position < page.floor) {
    skipToHead(subscription, parts.hub)
    const from = { epoch: parts.hub.epoch, seq: position }
    yield gapFrame({ reason: 'retention' }, from, subscription, parts)
    return
  }
  // Since the page was read, its user may have lost a channel.
  const events = page.events.filter(({ channel }) => subscription.channels.includes(channel))
  yield* write(events.map(parts.hub.frameOf), subscription, parts)
  subscription.position = page.end
}

const skipToHead = (subscription: Subscription, hub: Hub) => {
  subscription.position = hub.head
  subscription.since = hub.head
  hub.join(subscription)
}

/** What is missing: events after `from`, up to where the stream goes on. The client resumes from there. */
const gapFrame = (
  gap: Gap,
  from: Cursor,
  { position }: Subscription,
  { hub: { epoch }, metrics }: StreamParts,
) => {
  metrics.gap(gap.reason)
  const to = { epoch, seq: position }
  return controlFrame({ type: 'gap', ...gap, from: formatCursor(from), to: formatCursor(to) }, to)
}

/** Writes in one piece. When the generator goes on, the connection has taken it. */
function* write(queued: Queued[], subscription: Subscription, parts: StreamParts) {
  if (queued.length === 0) return
  yield parts.join(queued)
  taken(queued, subscription, parts)
}

const taken = (queued: Queued[], subscription: Subscription, parts: StreamParts) => {
  subscription.takenAt = Date.now()
  parts.taken(queued)
}

/** Up to `head`, what follows was published before the stream began. */
const readyFrame = (
  resumed: boolean,
  { id, position }: Subscription,
  { epoch, head }: Hub,
  seq = position,
) => {
  const cursor = { epoch, seq }
  const places = { cursor: formatCursor(cursor), head: formatCursor({ epoch, seq: head }) }
  return controlFrame({ type: 'ready', resumed, ...places, streamId: id }, cursor)
}
