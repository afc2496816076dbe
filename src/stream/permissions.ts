import { readableChannels } from '../auth/channels.ts'
import type { LevelOf } from '../auth/roles.ts'
import type { Hub } from './hub.ts'
import type { Subscription } from './subscription.ts'

/** Which channels the users of open streams may read, kept true while role levels change. */
export type Access = {
  /**
   * The channels that a user may read by the role level of now: a change while it is looked up makes it
   * look once more. Throws what the look-up threw.
   */
  channelsOf(userId: string): Promise<string[]>
  /**
   * Looks up the channels of a user's open streams again; they send nothing until then. Without a user:
   * of all streams, which go on meanwhile.
   */
  reauthorize(userId?: string): Promise<void>
}

/** How many users' role levels are looked up at once when all may have changed. */
const lookUpsAtOnce = 4

/** Keeps the channels of the hub's subscriptions to what their users may read. */
export const createAccess = (options: {
  hub: Hub
  levelOf: LevelOf
  adminRoleLevel: number
  /** The channels that a stream asked for; undefined when it asked for all. */
  askedBy(subscription: Subscription): string[] | undefined
  /** Ends a stream whose role level can't be looked up. */
  unavailable(subscription: Subscription): void
  /** Ends a stream that has no channel left. */
  revoke(subscription: Subscription): void
  failed(error: unknown): void
}): Access => {
  const { hub, levelOf } = options
  /** The look-ups of role levels that are under way. */
  const lookUps = new Set<{ userId: string; isStale: boolean }>()

  const channelsOf = async (userId: string): Promise<string[]> => {
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

  const narrow = (subscription: Subscription, channels: string[]) => {
    const asked = options.askedBy(subscription)
    const kept = asked ? channels.filter(channel => asked.includes(channel)) : channels
    if (kept.length === 0) options.revoke(subscription)
    else if (`${kept}` !== `${subscription.channels}`) hub.move(subscription, kept)
  }

  /** Gives a user's streams the channels of now. One look-up at a time for each user. */
  const recheck = async (userId: string) => {
    try {
      const channels = await channelsOf(userId)
      for (const subscription of hub.subscriptions(userId)) narrow(subscription, channels)
    } catch (error) {
      // Nobody keeps a channel because the level can't be looked up: it is when they return.
      options.failed(error)
      for (const subscription of hub.subscriptions(userId)) options.unavailable(subscription)
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
    channelsOf,
    reauthorize(userId) {
      for (const lookUp of lookUps) {
        if (userId === undefined || lookUp.userId === userId) lookUp.isStale = true
      }
      return userId === undefined ? recheckAll() : recheckHeld(userId)
    },
  }
}
