import type { Hub } from './hub.ts'
import type { Subscription } from './subscription.ts'

/**
 * Looks up what a user may read, again while `isStale` says that it has changed meanwhile, and gives it to the user's
 * streams. Never rejects.
 */
export type Recheck = (userId: string, isStale: () => boolean) => Promise<void>

export type Rechecks = {
  /**
   * The rights of these users may have changed; of all users, when it is null. Their streams send nothing until they
   * are known.
   */
  begin(userIds: readonly string[] | null): Promise<void>
}

/** So many users are rechecked in one turn of the event loop: each turn takes a few milliseconds. */
const usersAtOnce = 500

/** Holds the streams of users while `recheck` runs, and runs it at most twice at a time for each user. */
export const createRechecks = (hub: Hub, recheck: Recheck): Rechecks => {
  /** The rechecks that are under way, by user: at most two. */
  const rechecks = new Map<string, Running[]>()

  /**
   * The rights of this user may have changed: until they are known, the streams send nothing. The second of two
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
    const begun: Running = { held, isStale: false, done: Promise.resolve() }
    rechecks.set(userId, [...running, begun])
    begun.done = settle(userId, begun)
    await begun.done
  }

  const settle = async (userId: string, recheckOfUser: Running) => {
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

  const forget = (userId: string, recheckOfUser: Running) => {
    const left = rechecks.get(userId)?.filter(other => other !== recheckOfUser) ?? []
    if (left.length > 0) rechecks.set(userId, left)
    else rechecks.delete(userId)
  }

  const online = () => [...new Set(hub.subscriptions().map(({ userId }) => userId))]

  /**
   * All streams are held at once, as the events that follow may be of channels that they have left. The look-ups begin
   * in several turns, so that nothing else waits for long.
   */
  const recheckMany = async (userIds: readonly string[]) => {
    const held = userIds.map(userId => ({ userId, streams: hub.subscriptions(userId) }))
    for (const { streams } of held) for (const stream of streams) stream.hold(hub.head)
    const settled: Promise<void>[] = []
    for (let at = 0; at < held.length; at += usersAtOnce) {
      if (at > 0) await new Promise<void>(resolve => setImmediate(resolve))
      for (const { userId, streams } of held.slice(at, at + usersAtOnce)) {
        settled.push(
          recheckHeld(userId).then(() => {
            for (const stream of streams) stream.release()
          }),
        )
      }
    }
    await Promise.all(settled)
  }

  return {
    async begin(userIds) {
      const [userId, ...others] = userIds ?? online()
      if (userId === undefined) return
      await (others.length === 0 ? recheckHeld(userId) : recheckMany([userId, ...others]))
    },
  }
}

/** A user's streams that are held until their channels have been looked up. `done` never rejects. */
type Running = { held: Set<Subscription>; isStale: boolean; done: Promise<void> }
