import { chooseChannels, readableChannels } from './channels.ts'
import type { Cursor } from './cursor.ts'
import { controlFrame, reconnectFrame } from './event.ts'
import type { Hub } from './hub.ts'
import { createJoin } from './join.ts'
import type { Log } from './log.ts'
import type { LevelOf } from './roles.ts'
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
  /** Aborts when the client has gone. */
  signal: AbortSignal
  /** Ends the connection of a client that takes nothing any more. */
  cut(): void
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
  /** Ends a user's streams. */
  disconnect(userId: string): void
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
  handed(taken: Queued[]): void
  failed(error: unknown): void
}

/** About how many bytes go into one write. */
const writeBytes = 256 * 1024

/** How many users' role levels are looked up at once when all may have changed. */
const lookUpsAtOnce = 4

/** What is known of an open stream besides its subscription. */
type Connection = Pick<StreamRequest, 'asked' | 'expiresAt' | 'cut'> & { endsAt: number }

/** The open streams of this instance: opens them, keeps them going, and ends them in time. */
export const createStreams = (options: StreamsOptions): Streams => {
  const { hub, levelOf, heartbeatMs, retryMs } = options
  const connections = new WeakMap<Subscription, Connection>()
  const parts = { ...options, writeBytes, join: createJoin() }
  let timer: ReturnType<typeof setInterval> | null = null
  /** The look-ups of role levels that are under way. */
  const lookUps = new Set<{ userId: string; isStale: boolean }>()

  const sendAway = (subscription: Subscription, reason: string) =>
    subscription.close(reconnectFrame(reason, jitter(retryMs)))

  /** Heartbeats, and the ends that come with time. */
  const tick = () => {
    const now = Date.now()
    hub.heartbeat(heartbeatMs * 0.75)
    for (const subscription of hub.subscriptions()) {
      const connection = connections.get(subscription)
      if (!connection) continue
      if (now >= connection.expiresAt * 1000) {
        subscription.close(controlFrame({ type: 'token_expired' }))
      } else if (now >= connection.endsAt) {
        sendAway(subscription, 'age')
      } else if (subscription.queuedBytes > 0 && now - subscription.takenAt > heartbeatMs * 4) {
        subscription.close()
        connection.cut()
      }
    }
  }

  const narrow = (subscription: Subscription, channels: string[]) => {
    const asked = connections.get(subscription)?.asked
    const kept = asked ? channels.filter(channel => asked.includes(channel)) : channels
    if (kept.length === 0) subscription.close(controlFrame({ type: 'revoked' }))
    else if (`${kept}` !== `${subscription.channels}`) hub.move(subscription, kept)
  }

  /** The channels by the role level of now: a change during the look-up makes it look once more. */
  const readableNow = async (userId: string): Promise<string[]> => {
    const lookUp = { userId, isStale: false }
    lookUps.add(lookUp)
    try {
      for (;;) {
        lookUp.isStale = false
        const channels = readableChannels(userId, await levelOf(userId), options.adminRoleLevel)
        if (!lookUp.isStale) return channels
      }
    } finally {
      lookUps.delete(lookUp)
    }
  }

  /** Gives a user's streams the channels of now. One look-up at a time for each user. */
  const recheck = async (userId: string) => {
    try {
      const channels = await readableNow(userId)
      for (const subscription of hub.subscriptions(userId)) narrow(subscription, channels)
    } catch (error) {
      // Nobody keeps a channel because the level can't be looked up: it is when they return.
      options.failed(error)
      for (const subscription of hub.subscriptions(userId)) sendAway(subscription, 'unavailable')
    }
  }

  /** Somebody said that the level of this user has changed: until it is known, nothing is sent. */
  const recheckHeld = async (userId: string) => {
    const held = hub.subscriptions(userId)
    if (held.length === 0) return
    for (const subscription of held) subscription.hold(hub.head)
    try {
      await recheck(userId)
    } finally {
      for (const subscription of held) subscription.release()
    }
  }

  /** What was said while nobody listened is not known: every user is looked up, a few at a time. */
  const recheckAll = async () => {
    const users = new Set(hub.subscriptions().map(({ userId }) => userId)).values()
    const work = async () => {
      for (const user of users) await recheck(user)
    }
    await Promise.all(Array.from({ length: lookUpsAtOnce }, work))
  }

  return {
    async open({ userId, expiresAt, asked, cursor, signal, cut }) {
      const channels = chooseChannels(await readableNow(userId), asked)
      const subscription = hub.subscribe({
        userId,
        channels,
        position: cursor?.seq ?? hub.head,
      })
      connections.set(subscription, {
        asked,
        expiresAt,
        cut,
        endsAt: Date.now() + options.maxStreamAgeMs * (0.8 + Math.random() * 0.4),
      })
      // A pending await does not see return(): the abort has to wake it, or the stream would leak.
      signal.addEventListener('abort', () => subscription.close(), { once: true })
      if (signal.aborted) subscription.close()
      const own = channels.find(channel => channel.startsWith('user-')) ?? null
      return stream(subscription, cursor ? { cursor } : { pendingOn: own }, parts)
    },
    reauthorize(userId) {
      for (const lookUp of lookUps) {
        if (userId === undefined || lookUp.userId === userId) lookUp.isStale = true
      }
      return userId === undefined ? recheckAll() : recheckHeld(userId)
    },
    disconnect(userId) {
      for (const subscription of hub.subscriptions(userId)) {
        subscription.close(controlFrame({ type: 'revoked' }))
      }
    },
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
