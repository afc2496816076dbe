import type { Mutes } from '../auth/mutes.ts'
import { Members } from '../lib/multi-map.ts'
import type { Event } from '../log/event.ts'

/** Who has muted what. */
export type Muters<Member extends object> = {
  add(member: Member, mutes: Mutes): void
  remove(member: Member, mutes: Mutes): void
  /** Those who have muted an event; null when nobody has. */
  of(event: Event): ReadonlySet<Member> | null
}

/**
 * Finds the members that have muted an event by its channel, its type and the beginnings of its type: once for each
 * event, so that nothing is asked of the members that have muted nothing, or something else.
 */
export const createMuters = <Member extends object>(): Muters<Member> => {
  const channels = new Members<Member>()
  const types = new Members<Member>()
  const beginnings = new Members<Member>()
  /** How many mutes there are of a beginning of each length: only these are cut out of a type. */
  const lengths = new Map<number, number>()

  const count = (mutes: Mutes, by: 1 | -1) => {
    for (const { length } of mutes.beginnings) {
      const left = (lengths.get(length) ?? 0) + by
      if (left > 0) lengths.set(length, left)
      else lengths.delete(length)
    }
  }

  return {
    add(member, mutes) {
      for (const name of mutes.channels) channels.add(name, member)
      for (const name of mutes.types) types.add(name, member)
      for (const name of mutes.beginnings) beginnings.add(name, member)
      count(mutes, 1)
    },
    remove(member, mutes) {
      for (const name of mutes.channels) channels.remove(name, member)
      for (const name of mutes.types) types.remove(name, member)
      for (const name of mutes.beginnings) beginnings.remove(name, member)
      count(mutes, -1)
    },
    of({ channel, type }) {
      if (channels.size + types.size + beginnings.size === 0) return null
      let found: Set<Member> | null = null
      const take = (members: Iterable<Member>) => {
        for (const member of members) {
          found ??= new Set()
          found.add(member)
        }
      }
      take(channels.of(channel))
      if (type !== null) take(types.of(type))
      const name = type ?? ''
      for (const length of lengths.keys()) {
        if (length <= name.length) take(beginnings.of(name.slice(0, length)))
      }
      return found
    },
  }
}
