import type { Identity } from '../auth/identity.ts'
import type { ChannelChange } from './choice.ts'

/** An open stream, as all instances may know of it. */
export type OpenStream = {
  id: string
  userId: string
  channels: readonly string[]
  /** Where its connection comes from; null when that can't be known. */
  address: string | null
  /** In Unix milliseconds. */
  openedAt: number
  /** Its position in the log. */
  position: number
}

/** Keeps the other instances informed of the streams of this one. */
export type Presence = {
  /** A stream was opened, or has other channels. */
  opened(stream: OpenStream): void
  closed(id: string): void
}

/** Tells the instance that has this stream of a user of another token. False when no instance has it. */
export type ExtendElsewhere = (
  streamId: string,
  identity: Pick<Identity, 'userId' | 'expiresAt' | 'subscribes'>,
) => Promise<boolean>

/**
 * Tells the instance that has this stream of a user which channels it carries besides. False when no instance has it.
 */
export type CarryAlsoElsewhere = (
  streamId: string,
  userId: string,
  names: readonly string[],
) => Promise<boolean>

/**
 * Tells the instance that has this stream of a user to change its channels. Returns the channels then; when they
 * are more than MAX_CHANNELS, nothing is changed. Null when no instance has it.
 */
export type ChangeElsewhere = (
  streamId: string,
  userId: string,
  change: ChannelChange,
) => Promise<string[] | null>
