import type { Report } from '../lib/report.ts'

/** A place for one stream. The holder owes `leave`, once. */
export type Place = { leave(): void }

export type Limits = {
  /** Takes a place for a stream from this address, or says why there is none. */
  enter(address: string | null): Place | 'overloaded' | 'address'
}

/** How many streams may be open in this process: in all, and from one address. Null is no limit. */
export const createLimits = (options: {
  maxStreams: number
  maxPerAddress: number | null
}): Limits => {
  const { maxStreams, maxPerAddress } = options
  const addresses = new Map<string, number>()
  let streams = 0

  const change = (address: string, by: number) => {
    const count = (addresses.get(address) ?? 0) + by
    if (count > 0) addresses.set(address, count)
    else addresses.delete(address)
  }

  return {
    enter(address) {
      if (streams >= maxStreams) return 'overloaded'
      const counted = maxPerAddress === null ? null : address
      if (counted !== null && (addresses.get(counted) ?? 0) >= (maxPerAddress ?? 0))
        return 'address'
      streams++
      if (counted !== null) change(counted, 1)
      return {
        leave() {
          streams--
          if (counted !== null) change(counted, -1)
        },
      }
    },
  }
}

/** Why streams were refused for now, and how often. */
export type Refusals = {
  count(reason: string): void
}

/** Counts refusals, and tells of them at most every `everyMs`: an attack must not fill the log as well. */
export const createRefusals = (
  report: Report,
  /** Hears of each. */
  refused: (reason: string) => void,
  everyMs = 10_000,
): Refusals => {
  const counts = new Map<string, number>()
  let toldAt = Number.NEGATIVE_INFINITY
  return {
    count(reason) {
      counts.set(reason, (counts.get(reason) ?? 0) + 1)
      refused(reason)
      const now = performance.now()
      if (now - toldAt < everyMs) return
      toldAt = now
      report.warn({ reason, since: Object.fromEntries(counts) }, 'Streams are refused for now.')
    },
  }
}
