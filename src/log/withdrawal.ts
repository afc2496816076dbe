import { parseObject } from '../lib/json.ts'
import type { Event } from './event.ts'

/** A notification that was withdrawn, and the channels that it was published on. */
export type Withdrawal = { id: string; channels: readonly string[] }

/** Reads what `kairan.withdraw` told; null when it is something else. */
export const parseWithdrawal = (text: string): Withdrawal | null => {
  const { action, id, channels } = parseObject(text) ?? {}
  if (action !== 'withdrawn' || typeof id !== 'string' || !Array.isArray(channels)) return null
  return { id, channels: channels.filter(name => typeof name === 'string') }
}

/** A batch that is relayed was numbered less than so long before: what numbers has a deadline. */
const relayedMs = 60_000
/** Of more than so many in that time it is not known which are in a batch. */
const mostRecent = 100_000

/**
 * Keeps back events that were read before their notification was withdrawn, and come after it was told. Call `endTurn`
 * after each answer that was dispatched: the next answer may have been asked for before, the one after it was not.
 * What another instance has read and relays may be older.
 */
export const createWithdrawn = () => {
  let told = new Set<string>()
  let before = new Set<string>()
  /** Those of the last minute, in the order in which they were told. */
  const recent = new Map<string, number>()

  const forgetOld = () => {
    const oldest = Date.now() - relayedMs
    for (const [id, at] of recent) {
      if (at > oldest) break
      recent.delete(id)
    }
  }

  return {
    add(withdrawals: readonly Withdrawal[]) {
      forgetOld()
      for (const { id } of withdrawals) {
        told.add(id)
        if (recent.size < mostRecent) recent.set(id, Date.now())
      }
    },
    without(events: readonly Event[]) {
      if (told.size + before.size === 0) return events
      return events.filter(({ id }) => id === null || !(told.has(id) || before.has(id)))
    },
    /** The same for what another instance has read; null when too many were withdrawn to know. */
    withoutRecent(events: readonly Event[]) {
      forgetOld()
      if (recent.size >= mostRecent) return null
      if (recent.size === 0) return events
      return events.filter(({ id }) => id === null || !recent.has(id))
    },
    endTurn() {
      before = told
      if (told.size > 0) told = new Set()
    },
  }
}
