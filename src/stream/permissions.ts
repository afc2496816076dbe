import { among } from '../auth/channels.ts'
import { type Mutes, mutesOf } from '../auth/mutes.ts'
import {
  type Readable,
  type Reading,
  readableOf,
  requireReadable,
  type Standing,
  type Standings,
  tooManyChannels,
} from '../auth/standing.ts'
import { createSemaphore } from '../lib/semaphore.ts'
import {
  type ChannelChange,
  type Choice,
  changed,
  choiceOf,
  chosen,
  isOfAll,
  namedIn,
} from './choice.ts'
import type { Hub } from './hub.ts'
import { createRechecks, type Recheck } from './rechecks.ts'
import type { Subscription } from './subscription.ts'

/** Which channels the users of open streams may read. It follows changes of rights. */
export type Access = {
  /**
   * What a user may read now. `asked` are names that have to be looked up even when the user has more than
   * MAX_CHANNELS. If the rights change during the look-up, they are looked up again. Throws what the look-up threw.
   */
  readableOf(reading: Reading, asked?: readonly string[]): Promise<Readable>
  /**
   * The channels of a stream that asks for these; undefined asks for all. Throws `channel_forbidden`,
   * `too_many_channels`, and what the look-up threw. Of `also` those are left out that may not be read or are too many.
   */
  choose(
    reading: Reading,
    asked: readonly string[] | undefined,
    also: readonly string[],
  ): Promise<{ channels: readonly string[]; also: Also | null; mutes: Mutes | null }>
  /**
   * Adds and removes channels of an open stream, and resolves with its channels. Throws `channel_forbidden`,
   * `too_many_channels`, and what the look-up threw.
   */
  change(subscription: Subscription, by: Reading, change: ChannelChange): Promise<readonly string[]>
  /** Sets the channels that an open stream carries besides its own. Its `also` event says what became of them. */
  carryAlso(subscription: Subscription, names: readonly string[]): Promise<void>
  /** Gives a stream another choice, which another instance has allowed: what may not be read is left out. */
  apply(subscription: Subscription, choice: Choice): void
  /**
   * Looks up the channels of these users' open streams again, of all streams when it is null. The streams send
   * nothing until then.
   */
  reauthorize(userIds: readonly string[] | null): Promise<void>
}

/** What became of the channels that a stream asked for besides its own. */
export type Also = {
  type: 'also'
  channels: readonly string[]
  /** Those that it would not carry unasked. */
  extra: readonly string[]
  /** Those that its user may not read, or that are more than MAX_CHANNELS. */
  refused: readonly string[]
}

/** Keeps the channels of the hub's subscriptions to what their users may read. */
export const createAccess = (options: {
  hub: Hub
  standings: Standings
  adminRoleLevel: number
  /** How many channels a stream may have. */
  maxChannels: number
  /** Ends a stream whose rights can't be looked up. */
  unavailable(subscription: Subscription): void
  /** Ends a stream that has no channel left. */
  revoke(subscription: Subscription): void
  /** Ends a stream that would have more than `maxChannels`. */
  overfull(subscription: Subscription): void
  /** Tells a stream what became of the channels that it asked for besides its own. */
  tell(subscription: Subscription, also: Also): void
  /** Called when the user of a stream has muted something else. */
  muted(subscription: Subscription): void
  /** Called when a stream has other channels. */
  moved(subscription: Subscription): void
  failed(error: unknown): void
}): Access => {
  const { hub, standings, adminRoleLevel, maxChannels } = options
  /** The look-ups under way, by user: one update of roles can concern everybody who is online. */
  const lookUps = new Map<string, LookUps>()
  /** Look-ups that no request waits for leave room for those that one waits for. */
  const background = createSemaphore(standings.atOnce)

  /** The standing of a user, with those of the `asked` channels that its list may lack. */
  const standingOf = async (userId: string, asked: () => readonly string[]): Promise<Standing> => {
    const under = lookUps.get(userId) ?? { count: 0, changes: 0 }
    if (under.count++ === 0) lookUps.set(userId, under)
    try {
      for (;;) {
        const { changes } = under
        const standing = await standings.of(userId)
        const complete = standing.isCut
          ? { ...standing, channels: await standings.pick(userId, asked()) }
          : standing
        if (under.changes === changes) return complete
      }
    } finally {
      if (--under.count === 0) lookUps.delete(userId)
    }
  }

  const readable = async (reading: Reading, asked: readonly string[] = []) =>
    readableOf(reading, await standingOf(reading.userId, () => asked), adminRoleLevel)

  const requireFew = async (
    { userId }: Reading,
    choice: Choice,
    channels: readonly string[],
    isCut: boolean,
  ) => {
    if (!isOverfull(choice, channels, isCut)) return
    const count = isCut && isOfAll(choice) ? await standings.count(userId) : channels.length
    throw tooManyChannels(count, maxChannels, 'Name those that you want, as ?channels=a,b.')
  }

  const isOverfull = (choice: Choice, channels: readonly string[], isCut: boolean) =>
    channels.length > maxChannels || (isCut && isOfAll(choice))

  /** Gives a stream the channels that its user may read. */
  const narrow = (subscription: Subscription, standing: Standing) => {
    const mutes = mutesOf(standing.mutes)
    if (mutes?.key !== subscription.mutes?.key) {
      hub.mute(subscription, mutes)
      options.muted(subscription)
    }
    const { choice, channels: had, toldAlso } = subscription
    const may = readableOf(subscription, standing, adminRoleLevel)
    const channels = chosen(choice, may, toldAlso === null ? undefined : maxChannels)
    if (isOverfull(choice, channels, standing.isCut)) return options.overfull(subscription)
    if (channels.length === 0 && had.length > 0 && namedIn(choice).length > 0) {
      return options.revoke(subscription)
    }
    if (!isSame(channels, had)) {
      hub.move(subscription, channels)
      options.moved(subscription)
    }
    if (toldAlso === null) return
    const also = alsoOf(choice, may, channels)
    if (subscription.tellAlso(JSON.stringify(also))) options.tell(subscription, also)
  }

  /** Gives a user's streams the current channels, and looks again while `isStale` says that they have changed. */
  const recheck: Recheck = async (userId, isStale) => {
    const asked = () => hub.subscriptions(userId).flatMap(({ choice }) => namedIn(choice))
    try {
      let standing: Standing
      do standing = await background.run(() => standingOf(userId, asked))
      while (isStale())
      for (const subscription of hub.subscriptions(userId)) narrow(subscription, standing)
    } catch (error) {
      // If the look-up fails, end the streams: they are authorised again when they reconnect.
      options.failed(error)
      for (const subscription of hub.subscriptions(userId)) options.unavailable(subscription)
    }
  }

  const rechecks = createRechecks(hub, recheck)

  const markStale = (userIds: readonly string[] | null) => {
    const stale = userIds?.flatMap(userId => lookUps.get(userId) ?? []) ?? lookUps.values()
    for (const under of stale) under.changes++
  }

  const reauthorize = (userIds: readonly string[] | null) => {
    markStale(userIds)
    return rechecks.begin(userIds)
  }

  const apply = (subscription: Subscription, choice: Choice) => {
    subscription.choose(choice)
    return reauthorize([subscription.userId])
  }

  return {
    readableOf: readable,
    async choose(reading, asked, also) {
      if (asked && asked.length > maxChannels) {
        throw tooManyChannels(asked.length, maxChannels, 'Open several streams, or name fewer.')
      }
      const may = await readable(reading, [...(asked ?? []), ...also])
      requireReadable(asked ?? [], may)
      const choice = choiceOf(asked)
      const base = chosen(choice, may)
      await requireFew(reading, choice, base, may.isCut)
      const mutes = mutesOf(may.mutes)
      if (also.length === 0) return { channels: base, also: null, mutes }
      const more = choiceOf(asked, also)
      const channels = chosen(more, may, maxChannels)
      return { channels, also: alsoOf(more, may, channels), mutes }
    },
    async change(subscription, by, change) {
      for (const reading of [by, subscription]) {
        requireReadable(change.add, await readable(reading, change.add))
      }
      const after = new Set([...subscription.channels, ...change.add])
      for (const name of change.remove) after.delete(name)
      if (after.size > maxChannels) {
        throw tooManyChannels(after.size, maxChannels, 'Remove some, or open another stream.')
      }
      await apply(subscription, changed(subscription.choice, change, maxChannels))
      return subscription.channels
    },
    carryAlso(subscription, names) {
      subscription.oweAlso()
      const also = names.slice(0, maxChannels)
      const refused = names.slice(maxChannels)
      // The stream keeps no more names than it could carry.
      if (refused.length > 0)
        options.tell(subscription, { type: 'also', channels: [], extra: [], refused })
      return apply(subscription, { ...subscription.choice, also })
    },
    apply: (subscription, choice) => void apply(subscription, choice),
    reauthorize,
  }
}

/** What became of the channels that a stream asked for besides its own. */
const alsoOf = (choice: Choice, readable: Readable, channels: readonly string[]): Also => {
  const isUnasked = among(chosen({ ...choice, also: [] }, readable))
  const isCarried = among(channels)
  const { also } = choice
  return {
    type: 'also',
    channels: also,
    extra: also.filter(name => isCarried(name) && !isUnasked(name)),
    refused: also.filter(name => !isCarried(name)),
  }
}

const isSame = (some: readonly string[], others: readonly string[]) =>
  some.length === others.length && some.every((name, index) => name === others[index])

/**
 * The questions for the rights of a user that are under way, and how often the rights have changed meanwhile: what a
 * question answers does not count if they have.
 */
type LookUps = { count: number; changes: number }
