import { channelOf } from '../auth/channels.ts'
import type { Identity } from '../auth/identity.ts'
import type { Standings } from '../auth/standing.ts'
import type { Tickets } from '../auth/tickets.ts'
import type { Receipts } from '../inbox/receipts.ts'
import { KairanError, messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createTurns } from '../lib/turns.ts'
import type { Cursor } from '../log/cursor.ts'
import { controlFrame, reconnectFrame, replacedFrame } from '../log/event.ts'
import type { Log } from '../log/log.ts'
import type { UserChange } from '../log/user-change.ts'
import type { Withdrawal } from '../log/withdrawal.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type ChannelChange, changed } from './choice.ts'
import { createCoalesce } from './coalesce.ts'
import type { Hub } from './hub.ts'
import { createLifetimes } from './lifetimes.ts'
import type { Limits } from './limits.ts'
import { type Access, createAccess } from './permissions.ts'
import type { OpenStream, Presence } from './presence.ts'
import type { Queued } from './queue.ts'
import { jitter, type StreamParts, stream } from './stream.ts'
import type { ConnectionFacts, Subscription } from './subscription.ts'

/** A request for a stream. */
export type StreamRequest = Omit<ConnectionFacts, 'endsAt'> & {
  cursor: Cursor | null
  /** Whether a stream has carried this cursor: then its client has what came before. */
  isReturning: boolean
  /** Whether it may be a browser that reconnects, with the rest of a broken event. */
  mayHaveRest: boolean
  /** When the request arrived, by `performance.now()`: a disconnect since then ends its stream, too. */
  askedAt: number
  /** Aborts when the client leaves. */
  signal: AbortSignal
}

export type Streams = {
  /**
   * Opens a stream. Throws `channel_forbidden`, `too_many_channels`, what the look-up of the rights threw, or an
   * AbortError when the client has left meanwhile.
   */
  open(request: StreamRequest): Promise<AsyncGenerator<Uint8Array, void>>
  /**
   * Looks up the channels of a user's open streams again, or of all open streams; they send nothing until then.
   */
  reauthorize(userId?: string): Promise<void>
  /**
   * Gives a stream of this user another token, and looks up its channels again. Resolves when its ticket has the token,
   * too; with false when it is not open here.
   */
  extend(streamId: string, identity: Token): Promise<boolean>
  /**
   * Adds and removes channels of a stream of this user, and resolves with its channels; with null when it is not open
   * here. Throws `channel_forbidden`, `too_many_channels`, and what the look-up threw.
   */
  change(
    streamId: string,
    identity: Token,
    change: ChannelChange,
  ): Promise<readonly string[] | null>
  /**
   * Sets the channels that a stream of this user carries besides its own, as far as the user may read them. Resolves
   * with whether it is open here.
   */
  carryAlso(streamId: string, userId: string, names: readonly string[]): Promise<boolean>
  /** Applies a change of a user to the user's open streams. */
  apply(change: UserChange): void
  /** Tells the open streams that had these notifications, and does not send them any more. */
  withdraw(withdrawn: readonly Withdrawal[]): void
  readableOf: Access['readableOf']
  start(): void
  /** Sends heartbeats at least this often from now on. */
  heartbeatWithin(ms: number): void
  /** Ends all streams, each at its own moment within `ms`, and resolves when they have ended. */
  drain(ms: number): Promise<void>
}

type Token = Pick<Identity, 'userId' | 'expiresAt' | 'subscribes'>

export type StreamsOptions = {
  hub: Hub
  log: Log
  standings: Standings
  presence: Presence
  receipts: Receipts
  metrics: Pick<Metrics, 'streamOpened' | 'streamEnded' | 'gap' | 'lagging'>
  /** Called with what a connection took. */
  taken(queued: Queued[]): void
  /** Where each stream that was opened gives its place back. */
  limits: Pick<Limits, 'leave'>
  tickets: Pick<Tickets, 'extend' | 'release'>
  report: Report
  settings: StreamSettings
}

export type StreamSettings = {
  adminRoleLevel: number
  /** How many channels a stream may have. */
  maxChannels: number
  heartbeatMs: number
  /** Mean of the jittered `retry:`. */
  retryMs: number
  maxStreamAgeMs: number
  /** How many streams a user may have here. */
  maxStreamsPerUser: number
  /** At most so many events are replayed to a client that returns. */
  replayLimit: number
}

/** About how many bytes go into one write. */
const writeBytes = 256 * 1024

/** A stream that ends sooner may have been cut before its browser knew the proof. */
const openingMs = 5000

/** A request for a stream takes less than this from its arrival to its subscription. */
const mostOpeningMs = 60_000

/** Mean reconnect delay of a replaced stream. */
const replacedRetryMs = 60_000

/** The open streams of this instance: opens them, keeps them going, and ends them in time. */
export const createStreams = (options: StreamsOptions): Streams => {
  const { hub, presence, receipts, metrics, report, settings } = options
  const { heartbeatMs, retryMs } = settings

  const failed = (error: unknown) =>
    report.warn({ error: messageOf(error) }, 'A stream had to be ended.')

  const ticketFailed = (error: unknown) =>
    report.warn({ error: messageOf(error) }, 'The ticket of a stream could not be updated.')

  const sendAway = (subscription: Subscription, reason: string) =>
    subscription.close(reconnectFrame(reason, jitter(retryMs)), reason)

  const lifetimes = createLifetimes({
    hub,
    heartbeatMs,
    sendAway,
    muteEnded: ({ userId }) => void access.reauthorize([userId]),
  })

  const access = createAccess({
    hub,
    standings: options.standings,
    adminRoleLevel: settings.adminRoleLevel,
    maxChannels: settings.maxChannels,
    unavailable: subscription => sendAway(subscription, 'unavailable'),
    revoke,
    tell: (subscription, also) => tellOne(subscription, controlFrame(also)),
    // Its client returns, and is told how many there are.
    overfull: subscription => sendAway(subscription, 'too_many_channels'),
    muted: subscription => tellOne(subscription, controlFrame({ type: 'preferences' })),
    moved: subscription => presence.opened(describe(subscription)),
    failed,
  })

  const ended = (subscription: Subscription) => {
    const { id, address, reason, openedAt, epoch, taken, proof, isFirst } = subscription
    presence.closed(id)
    metrics.streamEnded(reason, (Date.now() - openedAt) / 1000)
    // Confirmed when its client returns. What it took of another log proves nothing.
    if (taken && epoch === hub.epoch) receipts.ended(taken)
    options.limits.leave(address)
    if (isFirst && proof !== null && Date.now() - openedAt < openingMs) {
      options.tickets.release(proof).catch(ticketFailed)
    }
  }

  const parts: StreamParts = {
    hub,
    log: options.log,
    turns: createTurns({ atOnce: 2, mostWaiting: 100_000, waitMs: 60_000 }),
    metrics,
    taken(queued, { epoch }) {
      // After the log became another one, these positions are of other deliveries.
      if (epoch === hub.epoch) options.taken(queued)
    },
    failed,
    ended,
    retryMs,
    replayLimit: settings.replayLimit,
    coalesce: createCoalesce(),
    writeBytes,
  }

  /** When users were disconnected lately: a request that was admitted before has no subscription yet. */
  const disconnectedAt = new Map<string, number>()

  const disconnect = (userId: string) => {
    const now = performance.now()
    for (const [user, at] of disconnectedAt) {
      if (now - at < mostOpeningMs) break
      disconnectedAt.delete(user)
    }
    disconnectedAt.delete(userId)
    disconnectedAt.set(userId, now)
    for (const subscription of hub.subscriptions(userId)) revoke(subscription)
  }

  const find = (streamId: string, userId: string) =>
    hub.subscriptions(userId).find(({ id }) => id === streamId)

  const replace = (subscription: Subscription | undefined) =>
    subscription?.close(replacedFrame(jitter(replacedRetryMs)), 'replaced')

  /** The streams that a user has on other instances are counted by kairan.note_streams. */
  const endOldest = (userId: string) => {
    const open = hub.subscriptions(userId).filter(({ closed }) => !closed)
    for (const subscription of open.slice(0, -settings.maxStreamsPerUser)) replace(subscription)
  }

  /** It can't be read anywhere else: a client that is too slow for it reads the inbox when it returns. */
  const tellOne = (subscription: Subscription, frame: Uint8Array) => {
    if (subscription.hasRoomFor(frame)) subscription.pushControl(frame)
    else sendAway(subscription, 'lagging')
  }

  /** Sends a `control` event to a user's streams. */
  const tell = (userId: string, control: { type: string; [key: string]: unknown }) => {
    const frame = controlFrame(control)
    for (const subscription of hub.subscriptions(userId)) tellOne(subscription, frame)
  }

  /** A ticket is given its tokens one after the other: of two on different connections the first could come last. */
  const ticketTurns = createTurns({ atOnce: 1, mostWaiting: 100, waitMs: 10_000 })

  const extend = async (streamId: string, token: Token) => {
    const subscription = find(streamId, token.userId)
    if (!subscription) return false
    subscription.extendTo(token)
    void access.reauthorize([token.userId])
    const { proof } = subscription
    // Before the answer: whoever has it may reconnect at once, with what this token allows.
    if (proof !== null) {
      await ticketTurns.run(proof, () => options.tickets.extend(proof, token)).catch(ticketFailed)
    }
    return true
  }

  return {
    async open({ cursor, isReturning, mayHaveRest, askedAt, signal, ...facts }) {
      const { userId } = facts
      const { channels, also, mutes } = await access.choose(facts, facts.asked, facts.also ?? [])
      // Nobody would read its frames, and so nothing would end it.
      signal.throwIfAborted()
      const endsAt = Date.now() + settings.maxStreamAgeMs * (0.8 + Math.random() * 0.4)
      const subscription = hub.subscribe({ ...facts, endsAt }, channels, cursor?.seq ?? hub.head)
      if (also) subscription.tellAlso(JSON.stringify(also))
      if (mutes) hub.mute(subscription, mutes)
      // A pending await does not see return(): the abort has to wake it, or the stream would leak.
      signal.addEventListener('abort', subscription, { once: true })
      if ((disconnectedAt.get(userId) ?? -1) >= askedAt) revoke(subscription)
      endOldest(userId)
      presence.opened(describe(subscription))
      metrics.streamOpened()
      if (isReturning && cursor?.epoch === hub.epoch) receipts.returned(userId, cursor.seq)
      const own = channelOf(userId)
      const pendingOn = channels.includes(own) ? own : null
      const start = cursor ? { cursor } : { pendingOn }
      return stream(subscription, { ...start, mayHaveRest, also }, parts)
    },
    reauthorize: userId => access.reauthorize(userId === undefined ? null : [userId]),
    extend,
    async change(streamId, identity, change) {
      const subscription = find(streamId, identity.userId)
      return subscription ? access.change(subscription, identity, change) : null
    },
    async carryAlso(streamId, userId, names) {
      const subscription = find(streamId, userId)
      await (subscription && access.carryAlso(subscription, names))
      return subscription !== undefined
    },
    apply(change) {
      if (change.action === 'reauthorize') void access.reauthorize(change.userIds)
      else if (change.action === 'extend') void extend(change.streamId, change)
      else if (change.action === 'replace') replace(find(change.streamId, change.userId))
      else if (change.action === 'inbox') tell(change.userId, change.control)
      else if (change.action === 'channels') {
        const subscription = find(change.streamId, change.userId)
        if (subscription)
          access.apply(subscription, changed(subscription.choice, change, settings.maxChannels))
      } else if (change.action === 'also') {
        const subscription = find(change.streamId, change.userId)
        if (subscription) void access.carryAlso(subscription, change.also)
      } else disconnect(change.userId)
    },
    withdraw(withdrawn) {
      // A stream that reads the log at the moment takes its queue afterwards, so this comes after what it read.
      for (const [subscription, ids] of hub.withdraw(withdrawn)) {
        tellOne(subscription, controlFrame({ type: 'withdrawn', ids: [...ids] }))
      }
    },
    readableOf: access.readableOf,
    start: lifetimes.start,
    heartbeatWithin: lifetimes.heartbeatWithin,
    async drain(ms) {
      const ends = hub.subscriptions().map(async subscription => {
        await Bun.sleep(Math.random() * ms)
        sendAway(subscription, 'draining')
      })
      await Promise.all(ends)
      lifetimes.stop()
    },
  }
}

/** The error for a stream that its user does not have. */
export const streamNotFound = () =>
  new KairanError(
    'stream_not_found',
    'You have no open stream of this id. Send the streamId of its ready event, or open another stream.',
  )

/** The streams that are open. */
export const listStreams = (hub: Hub): OpenStream[] => hub.subscriptions().map(describe)

const describe = ({
  id,
  userId,
  channels,
  address,
  openedAt,
  position,
}: Subscription): OpenStream => ({
  id,
  userId,
  channels,
  address,
  openedAt,
  position,
})

const revoke = (subscription: Subscription) =>
  subscription.close(controlFrame({ type: 'revoked' }), 'revoked')
