import type { Readable } from '../auth/standing.ts'

/**
 * Which channels a stream carries: those that it asked for (`only`), or all that its user may read by name, with
 * changes. Names that its user may not read are no error here: they are carried when the user may.
 */
export type Choice = {
  only: readonly string[] | undefined
  also: readonly string[]
  except: readonly string[]
}

/** A change of the channels of an open stream. */
export type ChannelChange = { add: readonly string[]; remove: readonly string[] }

const none: readonly string[] = []

/** Shared by all streams that asked for nothing. */
const everything: Choice = { only: undefined, also: none, except: none }

/** The choice of a stream that asked for these channels, undefined for all, and for others besides. */
export const choiceOf = (
  only: readonly string[] | undefined,
  also: readonly string[] = none,
): Choice => (only || also.length > 0 ? { only, also, except: none } : everything)

/** The names in a choice, which may be readable although they are not among those readable by name. */
export const namedIn = ({ only, also }: Choice) => (only ? union(only, also) : also)

/** Whether a choice is of all channels that its user may read by name. */
export const isOfAll = ({ only }: Choice) => only === undefined

/**
 * The choice with this change. A name that is both added and removed is removed. Of the names that were removed it
 * keeps the `most` newest: a client may remove what it never had.
 */
export const changed = (
  { only, also, except }: Choice,
  change: ChannelChange,
  most: number,
): Choice => ({
  only,
  also: without(union(also, change.add), change.remove),
  except: union(without(except, [...change.add, ...change.remove]), change.remove).slice(-most),
})

/**
 * The channels of a stream: those of its choice that its user may read. Beyond `most` there are none besides its own.
 */
export const chosen = (
  { only, also, except }: Choice,
  readable: Readable,
  most = Number.POSITIVE_INFINITY,
): readonly string[] => {
  const base = only ? only.filter(readable.includes) : readable.names
  if (also.length === 0 && except.length === 0) return base
  const kept = without(base, except)
  return union(kept, also.filter(readable.includes)).slice(0, Math.max(most, kept.length))
}

const union = (some: readonly string[], others: readonly string[]) => [
  ...new Set([...some, ...others]),
]

const without = (some: readonly string[], others: readonly string[]) => {
  const removed = new Set(others)
  return some.filter(name => !removed.has(name))
}
