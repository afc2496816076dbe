import { among } from '../auth/channels.ts'
import type { Mutes } from '../auth/mutes.ts'
import { Members } from '../lib/multi-map.ts'
import { type Event, type Frame, frameOf, heartbeatFrame } from '../log/event.ts'
import { createRecent, type Recent } from '../log/recent.ts'
import type { Withdrawal } from '../log/withdrawal.ts'
import { createMuters } from './muters.ts'
import { type ConnectionFacts, createSubscription, type Subscription } from './subscription.ts'

export type Hub = {
  /** Which log the positions are in. */
  readonly epoch: string
  /** The seq up to which this instance has dispatched. */
  readonly head: number
  readonly recent: Recent
  /** How many streams are open, and of how many users. */
  readonly size: number
  readonly users: number
  /**
   * Sets where dispatching begins, and the newest part of the log until there. Open streams can't go on from there:
   * they are closed, to resume.
   */
  begin(epoch: string, head: number, before?: { start: number; events: readonly Event[] }): void
  /** Opens a subscription that has everything up to `position`. The caller owes `unsubscribe`. */
  subscribe(facts: ConnectionFacts, channels: readonly string[], position: number): Subscription
  unsubscribe(subscription: Subscription): void
  /** Makes a subscription live if it has caught up: from then on it misses nothing. */
  tryGoLive(subscription: Subscription): boolean
  /** Pushes a piece of the log to its channels' live subscriptions. */
  dispatch(events: readonly Event[], head: number): void
  /** Pushes an event of the live path, which is not in the log. */
  dispatchLive(event: Event): void
  /**
   * Removes what was withdrawn from memory and from the queues. Returns the subscriptions whose channels had it, each
   * with the ids.
   */
  withdraw(withdrawn: readonly Withdrawal[]): Map<Subscription, Set<string>>
  /** Forgets the recent events, so that streams which return read the log in the database. */
  forgetRecent(): void
  /** The frame of an event, encoded when it is first needed. */
  frameOf(event: Event): Frame
  /** The open subscriptions, of one user if told. */
  subscriptions(userId?: string): Subscription[]
  /** Gives a subscription other channels: it gets no further event of those that it loses. */
  move(subscription: Subscription, channels: readonly string[]): void
  /** Sets what a subscription's user has muted: it gets no further event of that. */
  mute(subscription: Subscription, mutes: Mutes | null): void
  /** Pushes a heartbeat to every subscription that was quiet for `quietMs`. */
  heartbeat(quietMs: number): void
}

/** Channels -> subscriptions, in this process. */
export const createHub = (options: {
  queueBytes: number
  recentEvents: number
  recentBytes: number
}): Hub => {
  const members = new Members<Subscription>()
  const open = new Set<Subscription>()
  const users = new Members<Subscription>()
  const muters = createMuters<Subscription>()
  let epoch = ''
  let head = 0
  let recent = emptyRecent(0)

  function emptyRecent(start: number) {
    return createRecent({ start, maxEvents: options.recentEvents, maxBytes: options.recentBytes })
  }

  const enter = (subscription: Subscription) => {
    for (const channel of subscription.channels) members.add(channel, subscription)
  }

  const leave = (subscription: Subscription) => {
    for (const channel of subscription.channels) members.remove(channel, subscription)
  }

  /** Kept in the event itself: a WeakMap of thousands is walked by each collection of garbage. */
  const frame = (event: Event) => {
    event.frame ??= frameOf(event, epoch)
    return event.frame
  }

  const push = (event: Event) => {
    let made: Frame | null = null
    const muting = muters.of(event)
    for (const subscription of members.of(event.channel)) {
      if (muting?.has(subscription)) {
        subscription.passOver(event)
        continue
      }
      made ??= frame(event)
      subscription.push(made)
    }
  }

  return {
    get epoch() {
      return epoch
    },
    get head() {
      return head
    },
    get recent() {
      return recent
    },
    get size() {
      return open.size
    },
    get users() {
      return users.size
    },
    begin(newEpoch, newHead, before = { start: newHead, events: [] }) {
      for (const subscription of open) subscription.close(null, 'log')
      epoch = newEpoch
      head = newHead
      recent = emptyRecent(before.start)
      recent.add(before.events, newHead)
    },
    subscribe(facts, names, position) {
      const { queueBytes } = options
      const channels = names.map(name => members.nameOf(name))
      const subscription = createSubscription(facts, { channels, epoch, position, queueBytes })
      open.add(subscription)
      users.add(subscription.userId, subscription)
      enter(subscription)
      return subscription
    },
    unsubscribe(subscription) {
      subscription.close()
      if (!open.delete(subscription)) return
      users.remove(subscription.userId, subscription)
      leave(subscription)
      if (subscription.mutes) muters.remove(subscription, subscription.mutes)
    },
    tryGoLive: subscription => subscription.tryGoLive(head),
    dispatch(events, newHead) {
      head = newHead
      recent.add(events, newHead)
      for (const event of events) push(event)
    },
    dispatchLive: push,
    withdraw(withdrawn) {
      recent.remove(new Set(withdrawn.map(({ id }) => id)))
      const readers = new Map<Subscription, Set<string>>()
      for (const { id, channels } of withdrawn) {
        for (const subscription of channels.flatMap(channel => [...members.of(channel)])) {
          readers.set(subscription, (readers.get(subscription) ?? new Set()).add(id))
        }
      }
      for (const [subscription, ids] of readers) subscription.withdraw(ids)
      return readers
    },
    forgetRecent() {
      recent = emptyRecent(head)
    },
    frameOf: frame,
    subscriptions: userId => [...(userId === undefined ? open : users.of(userId))],
    move(subscription, names) {
      if (!open.has(subscription)) return
      const channels = names.map(name => members.nameOf(name))
      // Of a thousand channels usually one has changed.
      const left = lacking(subscription.channels, channels)
      const joined = lacking(channels, subscription.channels)
      subscription.moveTo(channels, { joined, left, head })
      for (const name of left) members.remove(name, subscription)
      for (const name of joined) members.add(name, subscription)
    },
    mute(subscription, mutes) {
      if (!open.has(subscription)) return
      if (subscription.mutes) muters.remove(subscription, subscription.mutes)
      subscription.mute(mutes)
      if (mutes) muters.add(subscription, mutes)
    },
    heartbeat(quietMs) {
      const before = Date.now() - quietMs
      for (const subscription of open) {
        if (subscription.takenAt <= before) subscription.pushControl(heartbeatFrame)
      }
    },
  }
}

/** Those of the first names that are not among the others. */
const lacking = (names: readonly string[], others: readonly string[]) => {
  const isThere = among(others)
  return names.filter(name => !isThere(name))
}
