import type { Readable } from '../auth/standing.ts'

/**
 * Which of the channels that its user may read a stream carries: some of them, or all that the user may read by name,
 * with changes.
 */
export type Choice =
  | { only: readonly string[] }
  | { also: readonly string[]; except: readonly string[] }

/** A change of the channels of an open stream. */
export type ChannelChange = { add: readonly string[]; remove: readonly string[] }

/** The choice of a stream that asked for these channels; undefined for one that asked for none. */
export const choiceOf = (asked: readonly string[] | undefined): Choice =>
  asked ? { only: asked } : everything

/** The names in a choice, which may be readable although they are not among those readable by name. */
export const namedIn = (choice: Choice) => ('only' in choice ? choice.only : choice.also)

/** Whether a choice is of all channels that its user may read by name. */
export const isOfAll = (choice: Choice) => !('only' in choice)

/** The choice with this change. A name that is both added and removed is removed. */
export const changed = (choice: Choice, { add, remove }: ChannelChange): Choice =>
  'only' in choice
    ? { only: without(union(choice.only, add), remove) }
    : {
        also: without(union(choice.also, add), remove),
        except: union(without(choice.except, add), remove),
      }

/** The channels of a stream: those of its choice that its user may read. */
export const chosen = (choice: Choice, readable: Readable): readonly string[] => {
  if ('only' in choice) return choice.only.filter(readable.includes)
  if (choice === everything) return readable.names
  return union(without(readable.names, choice.except), choice.also.filter(readable.includes))
}

/** Shared by all streams that asked for nothing. */
const everything: Choice = { also: [], except: [] }

const union = (some: readonly string[], others: readonly string[]) => [
  ...new Set([...some, ...others]),
]

const without = (some: readonly string[], others: readonly string[]) => {
  const removed = new Set(others)
  return some.filter(name => !removed.has(name))
}
