import { readableChannels } from '../auth/channels.ts'
import type { LevelOf } from '../auth/roles.ts'
import { createLane } from '../lib/lane.ts'
import type { Hub } from './hub.ts'
import type { Subscription } from './subscription.ts'

/** Which channels the users of open streams may read. It follows changes of role levels. */
export type Access = {
  /**
   * The channels that a user may read by the current role level. If it changes during the look-up, it is
   * looked up again. Throws what the look-up threw.
   */
  channelsOf(userId: string): Promise<string[]>
  /**
   * Looks up the channels of a user's open streams again, or of all open streams; they send nothing until then.
   */
  reauthorize(userId?: string): Promise<void>
}

/** Keeps the channels of the hub's subscriptions to what their users may read. */
export const createAccess = (options: {
  hub: Hub
  levelOf: LevelOf
  adminRoleLevel: number
  /** Ends a stream whose role level can't be looked up. */
  unavailable(subscription: Subscription): void
  /** Ends a stream that has no channel left. */
  revoke(subscription: Subscription): void
  failed(error: unknown): void
}): Access => {
  const { hub, levelOf } = options
  /** The look-ups under way, by user: one update of roles can concern everybody who is online. */
  const lookUps = new Map<string, Set<LookUp>>()
  /** The rechecks that are under way, by user: at most two. */
  const rechecks = new Map<string, Recheck[]>()
  /** Look-ups that no request waits for leave room for those that one waits for. */
  const lane = createLane(levelOf.atOnce ?? 4)

  const channelsOf = async (userId: string): Promise<string[]> => {
    const lookUp = { isStale: false }
    const under = lookUps.get(userId) ?? new Set()
    lookUps.set(userId, under.add(lookUp))
    try {
      for (;;) {
        lookUp.isStale = false
        const channels = readableChannels(userId, await levelOf(userId), options.adminRoleLevel)
        if (!lookUp.isStale) return channels
      }
    } finally {
      under.delete(lookUp)
      if (under.size === 0) lookUps.delete(userId)
    }
  }

  const narrow = (subscription: Subscription, channels: string[]) => {
    const { asked } = subscription
    const kept = asked ? channels.filter(channel => asked.includes(channel)) : channels
    if (kept.length === 0) options.revoke(subscription)
    else if (`${kept}` !== `${subscription.channels}`) hub.move(subscription, kept)
  }

  /** Gives a user's streams the current channels, and looks again while `isStale` says that they have changed. */
  const recheck = async (userId: string, isStale: () => boolean) => {
    try {
      let channels: string[]
      do channels = await lane(() => channelsOf(userId))
      while (isStale())
      for (const subscription of hub.subscriptions(userId)) narrow(subscription, channels)
    } catch (error) {
      // If the look-up fails, end the streams: they are authorised again when they reconnect.
      options.failed(error)
      for (const subscription of hub.subscriptions(userId)) options.unavailable(subscription)
    }
  }

  /**
   * The level of this user may have changed: until it is known, the streams send nothing. The second of two
   * changes does not wait for the look-up of the first. A third one shares the second, which then looks again.
   */
  const recheckHeld = async (userId: string): Promise<void> => {
    const running = rechecks.get(userId) ?? []
    const shared = running.length < 2 ? undefined : running.at(-1)
    const { held } = shared ?? { held: new Set<Subscription>() }
    for (const subscription of hub.subscriptions(userId)) {
      if (held.has(subscription)) continue
      subscription.hold(hub.head)
      held.add(subscription)
    }
    if (shared) {
      shared.isStale = true
      return shared.done
    }
    if (held.size === 0) return
    const begun: Recheck = { held, isStale: false, done: Promise.resolve() }
    rechecks.set(userId, [...running, begun])
    begun.done = settle(userId, begun)
    await begun.done
  }

  const settle = async (userId: string, recheckOfUser: Recheck) => {
    await recheck(userId, () => {
      const { isStale } = recheckOfUser
      recheckOfUser.isStale = false
      // A change from here on begins a recheck of its own.
      if (!isStale) forget(userId, recheckOfUser)
      return isStale
    })
    forget(userId, recheckOfUser)
    for (const subscription of recheckOfUser.held) subscription.release()
  }

  const forget = (userId: string, recheckOfUser: Recheck) => {
    const left = rechecks.get(userId)?.filter(other => other !== recheckOfUser) ?? []
    if (left.length > 0) rechecks.set(userId, left)
    else rechecks.delete(userId)
  }

  /**
   * Changes may have been missed: any stream may have lost a channel before the events that follow, so all are
   * held until their users have been looked up.
   */
  const recheckAll = async () => {
    const users = new Set(hub.subscriptions().map(({ userId }) => userId))
    await Promise.all([...users].map(recheckHeld))
  }

  return {
    channelsOf,
    reauthorize(userId) {
      const stale = userId === undefined ? lookUps.values() : [lookUps.get(userId) ?? []]
      for (const some of stale) for (const lookUp of some) lookUp.isStale = true
      return userId === undefined ? recheckAll() : recheckHeld(userId)
    },
  }
}

/** One question for a role level. What it answers does not count if the level has changed meanwhile. */
type LookUp = { isStale: boolean }

/** A user's streams that are held until their channels have been looked up. `done` never rejects. */
type Recheck = { held: Set<Subscription>; isStale: boolean; done: Promise<void> }
