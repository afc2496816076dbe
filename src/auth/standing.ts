import { KairanError } from '../lib/errors.ts'
import {
  admins,
  among,
  channelOf,
  everyone,
  isBeginning,
  isOfApplication,
  matches,
} from './channels.ts'
import type { Mute } from './mutes.ts'

/** What the database says about the rights of a user. */
export type Standing = {
  /** 0 for a user without one. */
  roleLevel: number
  /** The application's channels that the user may read, each once. */
  channels: readonly string[]
  /** Whether these are not all of them, as there are more than MAX_CHANNELS. */
  isCut: boolean
  /** What the user has muted. */
  mutes?: readonly Mute[]
}

/** Looks up the standing of users. Rejects with the driver's error. */
export type Standings = {
  of(userId: string): Promise<Standing>
  /** The application's channels among these that the user may read: for a standing that is cut. */
  pick(userId: string, channels: readonly string[]): Promise<string[]>
  /** How many of the application's channels a user may read, counted twice where two sources have it. */
  count(userId: string): Promise<number>
  /** Resolves with what Postgres says of each query of the operator's that it refuses, by the setting's name. */
  check(): Promise<{ name: string; error: string }[]>
  /** How many lookups may run at the same time without delaying others. */
  readonly atOnce: number
}

/** A user, and what the token adds to the standing: the claim `kairan:subscribe`. */
export type Reading = { userId: string; subscribes: readonly string[] }

/** The channels that a user may read. */
export type Readable = {
  /** Those that the user may read by name. A beginning in the token is no name. */
  names: readonly string[]
  includes(channel: string): boolean
  /** Whether `names` lacks some. */
  isCut: boolean
  /** What the user may read, and has muted. */
  mutes?: readonly Mute[] | undefined
}

/** All channels that a user may read. */
export const readableOf = (
  { userId, subscribes }: Reading,
  standing: Standing,
  adminRoleLevel: number,
): Readable => {
  const fixed =
    standing.roleLevel >= adminRoleLevel
      ? [channelOf(userId), everyone, admins]
      : [channelOf(userId), everyone]
  const claimed = subscribes.filter(name => !isBeginning(name) && isOfApplication(name))
  const names =
    claimed.length > 0
      ? [...new Set([...fixed, ...standing.channels, ...claimed])]
      : fixed.concat(standing.channels)
  // Most streams ask for nothing.
  let isNamed: ((name: string) => boolean) | undefined
  return {
    names,
    includes(channel) {
      isNamed ??= among(names)
      if (isNamed(channel)) return true
      return isOfApplication(channel) && matches(channel, subscribes.filter(isBeginning))
    },
    isCut: standing.isCut,
    mutes: standing.mutes,
  }
}

/** Waits for what needs a user's rights. Throws `unavailable` when they cannot be looked up, as during an outage. */
export const rightsOrUnavailable = async <T>(lookUp: Promise<T>): Promise<T> => {
  try {
    return await lookUp
  } catch (cause) {
    if (cause instanceof KairanError) throw cause
    const sentence = 'The rights of this user can not be looked up now. Try again soon.'
    throw new KairanError('unavailable', sentence, { retryAfter: 2, cause })
  }
}

/** The error for a channel that a user may not read. */
export const forbidden = (channel: string, names: readonly string[]) => {
  const shown = names.slice(0, 10).join(', ')
  const more = names.length > 10 ? ` and ${names.length - 10} more` : ''
  return new KairanError(
    'channel_forbidden',
    `You may not read the channel "${channel.slice(0, 250).toWellFormed()}". You may read ${shown}${more}.`,
  )
}

/** Throws `channel_forbidden` for the first of these channels that a user may not read. */
export const requireReadable = (channels: readonly string[], readable: Readable) => {
  const bad = channels.find(name => !readable.includes(name))
  if (bad !== undefined) throw forbidden(bad, readable.names)
}

/** The error for more channels than a stream may carry. `advice` says what to do. */
export const tooManyChannels = (count: number, most: number, advice: string) =>
  new KairanError(
    'too_many_channels',
    `These would be ${count} channels, and a stream carries at most ${most} (MAX_CHANNELS). ${advice}`,
  )
