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

/**
 * Keeps back events that were read before their notification was withdrawn, and come after it was told. Call `endTurn`
 * after each answer that was dispatched: the next answer may have been asked for before, the one after it was not.
 */
export const createWithdrawn = () => {
  let told = new Set<string>()
  let before = new Set<string>()
  return {
    add(withdrawals: readonly Withdrawal[]) {
      for (const { id } of withdrawals) told.add(id)
    },
    without(events: Event[]) {
      if (told.size + before.size === 0) return events
      return events.filter(({ id }) => id === null || !(told.has(id) || before.has(id)))
    },
    endTurn() {
      before = told
      if (told.size > 0) told = new Set()
    },
  }
}
