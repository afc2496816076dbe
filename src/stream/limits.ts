import type { Report } from '../lib/report.ts'

export type Limits = {
  /** Counts a stream from this address, and the caller owes `leave`; or says why it may not open. */
  enter(address: string | null): null | 'overloaded' | 'address'
  /** A stream from this address that was counted has ended. */
  leave(address: string | null): void
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
      if (address !== null && maxPerAddress !== null) {
        if ((addresses.get(address) ?? 0) >= maxPerAddress) return 'address'
        change(address, 1)
      }
      streams++
      return null
    },
    leave(address) {
      streams--
      if (address !== null && maxPerAddress !== null) change(address, -1)
    },
  }
}

/** Why streams were refused for now, and how often. */
export type Refusals = {
  count(reason: string): void
}

/** Counts refusals, and reports them at most every `everyMs`: an attack must not fill the log as well. */
export const createRefusals = (
  report: Report,
  /** Called with each reason. */
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
