import { chooseChannels } from '../auth/channels.ts'
import type { LevelOf } from '../auth/roles.ts'
import type { Receipts } from '../inbox/receipts.ts'
import type { Cursor } from '../log/cursor.ts'
import { controlFrame, reconnectFrame, replacedFrame } from '../log/event.ts'
import type { Log } from '../log/log.ts'
import type { UserChange } from '../log/user-change.ts'
import type { Metrics } from '../observe/metrics.ts'
import { createJoin } from './coalesce.ts'
import type { Hub } from './hub.ts'
import { createAccess } from './permissions.ts'
import type { OpenStream, Presence } from './presence.ts'
import { jitter, stream } from './stream.ts'
import type { Queued, Subscription } from './subscription.ts'

/** Who asks for a stream, and for which. */
export type StreamRequest = {
  userId: string
  /** When the token ends, in Unix seconds: the stream ends then, too. */
  expiresAt: number
  /** The channels that were asked for; undefined for all that the user may read. */
  asked: string[] | undefined
  cursor: Cursor | null
  /** Whether a stream has carried this cursor: then its client has what came before. */
  isReturning: boolean
  /** Where its connection comes from; null when that can't be known. */
  address: string | null
  /** Aborts when the client has gone. */
  signal: AbortSignal
  /** Ends the connection of a client that takes nothing any more. */
  cut(): void
  /** Hears that the stream has ended; never, when `open` throws. */
  ended(): void
  /** Hears when the token ends by which the stream was extended; null when nobody has to. */
  extended: ((expiresAt: number) => void) | null
}

export type Streams = {
  /**
   * Opens a stream. Throws `channel_forbidden`, or what the role level's look-up threw.
   */
  open(request: StreamRequest): Promise<AsyncGenerator<Uint8Array, void>>
  /**
   * Looks up the channels of a user's open streams again; they send nothing until then. Without a user:
   * of all streams, which go on meanwhile.
   */
  reauthorize(userId?: string): Promise<void>
  /**
   * Gives a stream of this user a new end, in Unix seconds, and looks up its channels again. False when it
   * is not open here.
   */
  extend(streamId: string, userId: string, expiresAt: number): boolean
  /** Does what was told of a user. */
  apply(change: UserChange): void
  /** The streams that are open. */
  list(): OpenStream[]
  /** The channels that a user may read now. Throws what the role level's look-up threw. */
  channelsOf(userId: string): Promise<string[]>
  start(): void
  /** Ends all streams, each at its own moment within `ms`, and resolves when they have ended. */
  drain(ms: number): Promise<void>
}

export type StreamsOptions = {
  hub: Hub
  log: Log
  levelOf: LevelOf
  adminRoleLevel: number
  heartbeatMs: number
  retryMs: number
  maxStreamAgeMs: number
  replayLimit: number
  /** How many streams a user may have here. */
  maxStreamsPerUser: number
  presence: Presence
  metrics: Pick<Metrics, 'streamOpened' | 'streamEnded' | 'gap' | 'lagging'>
  queueBytes: number
  taken(queued: Queued[]): void
  receipts: Receipts
  failed(error: unknown): void
}

/** About how many bytes go into one write. */
const writeBytes = 256 * 1024

/** How long before its end a stream is told that its token expires; short ones at half of their time. */
const noticeMs = 60_000

/** Around when who was replaced comes back, if it comes back by itself. */
const replacedRetryMs = 60_000

/** What is known of an open stream besides its subscription. */
type Connection = Pick<
  StreamRequest,
  'asked' | 'expiresAt' | 'address' | 'cut' | 'ended' | 'extended'
> & {
  /** Of which log it is. */
  epoch: string
  openedAt: number
  endsAt: number
  /** When it is told that its token expires; null when it has been told. */
  noticeAt: number | null
}

/** The open streams of this instance: opens them, keeps them going, and ends them in time. */
export const createStreams = (options: StreamsOptions): Streams => {
  const { hub, heartbeatMs, retryMs } = options
  const connections = new WeakMap<Subscription, Connection>()
  let timer: ReturnType<typeof setInterval> | null = null

  const access = createAccess({
    ...options,
    askedBy: subscription => connections.get(subscription)?.asked,
    unavailable: subscription => sendAway(subscription, 'unavailable'),
    revoke,
  })

  const ended = (subscription: Subscription) => {
    options.presence.closed(subscription.id)
    const connection = connections.get(subscription)
    if (!connection) return
    connection.ended()
    options.metrics.streamEnded(subscription.reason, (Date.now() - connection.openedAt) / 1000)
    // What it brought is confirmed when its client returns. One that was for another log proves nothing.
    const { userId, proven, pending, since, position } = subscription
    const brought = position > since || pending.length > 0
    if (brought && connection.epoch === hub.epoch) {
      options.receipts.ended({ userId, channels: proven, pending, since, seq: position })
    }
  }
  const parts = { ...options, ended, writeBytes, join: createJoin() }

  const sendAway = (subscription: Subscription, reason: string) =>
    subscription.close(reconnectFrame(reason, jitter(retryMs)), reason)

  /** Heartbeats, and the ends that come with time. */
  const tick = () => {
    const now = Date.now()
    hub.heartbeat(heartbeatMs * 0.75)
    for (const subscription of hub.subscriptions()) {
      const connection = connections.get(subscription)
      if (!connection) continue
      if (now >= connection.expiresAt * 1000) {
        subscription.close(controlFrame({ type: 'token_expired' }), 'token_expired')
      } else if (connection.noticeAt !== null && now >= connection.noticeAt) {
        connection.noticeAt = null
        const expiresAt = new Date(connection.expiresAt * 1000).toISOString()
        subscription.pushControl(controlFrame({ type: 'token_expiring', expiresAt }))
      } else if (now >= connection.endsAt) {
        sendAway(subscription, 'age')
      } else if (subscription.queuedBytes > 0 && now - subscription.takenAt > heartbeatMs * 4) {
        subscription.close(null, 'stalled')
        connection.cut()
      }
    }
  }

  const describe = (subscription: Subscription): OpenStream => {
    const { id, userId, channels } = subscription
    const { address = null, openedAt = 0 } = connections.get(subscription) ?? {}
    return { id, userId, channels, address, openedAt }
  }

  const find = (streamId: string, userId: string) =>
    hub.subscriptions(userId).find(({ id }) => id === streamId)

  const replace = (subscription: Subscription | undefined) =>
    subscription?.close(replacedFrame(jitter(replacedRetryMs)), 'replaced')

  /** The streams that a user has elsewhere are counted by kairan.note_streams. */
  const endOldest = (userId: string) => {
    const open = hub.subscriptions(userId).filter(({ closed }) => !closed)
    for (const subscription of open.slice(0, -options.maxStreamsPerUser)) replace(subscription)
  }

  /** Sends a `control` event to a user's streams. */
  const tell = (userId: string, control: { type: string; [key: string]: unknown }) => {
    const frame = controlFrame(control)
    for (const subscription of hub.subscriptions(userId)) {
      // It is nowhere else to be read. Whoever takes nothing has to look at the inbox when it returns.
      if (subscription.queuedBytes + frame.length > options.queueBytes) {
        sendAway(subscription, 'lagging')
      } else subscription.pushControl(frame)
    }
  }

  const extend = (streamId: string, userId: string, expiresAt: number) => {
    const subscription = find(streamId, userId)
    const connection = subscription && connections.get(subscription)
    if (!connection) return false
    connection.expiresAt = expiresAt
    connection.noticeAt = noticeBefore(expiresAt, Date.now())
    connection.extended?.(expiresAt)
    void access.reauthorize(userId)
    return true
  }

  return {
    async open({ userId, asked, cursor, isReturning, signal, ...request }) {
      const channels = chooseChannels(await access.channelsOf(userId), asked)
      const subscription = hub.subscribe({
        userId,
        channels,
        position: cursor?.seq ?? hub.head,
      })
      const now = Date.now()
      connections.set(subscription, {
        ...request,
        asked,
        epoch: hub.epoch,
        openedAt: now,
        endsAt: now + options.maxStreamAgeMs * (0.8 + Math.random() * 0.4),
        noticeAt: noticeBefore(request.expiresAt, now),
      })
      endOldest(userId)
      options.presence.opened(describe(subscription))
      options.metrics.streamOpened()
      if (isReturning && cursor?.epoch === hub.epoch) options.receipts.returned(userId, cursor.seq)
      // A pending await does not see return(): the abort has to wake it, or the stream would leak.
      signal.addEventListener('abort', () => subscription.close(), { once: true })
      if (signal.aborted) subscription.close()
      const own = channels.find(channel => channel.startsWith('user-')) ?? null
      return stream(subscription, cursor ? { cursor } : { pendingOn: own }, parts)
    },
    reauthorize: access.reauthorize,
    extend,
    apply(change) {
      const { userId } = change
      if (change.action === 'reauthorize') void access.reauthorize(userId)
      else if (change.action === 'extend') extend(change.streamId, userId, change.expiresAt)
      else if (change.action === 'replace') replace(find(change.streamId, userId))
      else if (change.action === 'inbox') tell(userId, change.control)
      else {
        for (const subscription of hub.subscriptions(userId)) revoke(subscription)
      }
    },
    list: () => hub.subscriptions().map(describe),
    channelsOf: access.channelsOf,
    start() {
      timer ??= setInterval(tick, Math.min(heartbeatMs / 8, 1000))
    },
    async drain(ms) {
      const ends = hub.subscriptions().map(async subscription => {
        await Bun.sleep(Math.random() * ms)
        sendAway(subscription, 'draining')
      })
      await Promise.all(ends)
      if (timer) clearInterval(timer)
      timer = null
    },
  }
}

const noticeBefore = (expiresAt: number, now: number) => {
  const leftMs = expiresAt * 1000 - now
  return now + Math.max(leftMs - noticeMs, leftMs / 2)
}

const revoke = (subscription: Subscription) =>
  subscription.close(controlFrame({ type: 'revoked' }), 'revoked')
