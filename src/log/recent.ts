import type { Event } from './event.ts'
import type { Page } from './log.ts'

/** The newest part of the log, kept in memory: what a stream that returns soon has missed. */
export type Recent = {
  /** Adds the events that follow. `end` is the seq up to which they are complete. */
  add(events: readonly Event[], end: number): void
  /** Removes the events of these notifications. */
  remove(ids: ReadonlySet<string>): void
  /** Whether everything after this seq is still held. */
  covers(seq: number): boolean
  /** How many events of any channel are held after a seq. */
  countAfter(seq: number): number
  /** What these channels got after a seq, up to about `maxBytes` of payloads. */
  page(channels: readonly string[], after: number, maxBytes: number): Page
}

/** Holds at most `maxEvents` events and `maxBytes` of payloads; then the oldest are forgotten. */
export const createRecent = (options: {
  start: number
  maxEvents: number
  maxBytes: number
}): Recent => {
  let events: Event[] = []
  let first = 0
  let floor = options.start
  let end = options.start
  let bytes = 0

  const forget = () => {
    while (
      events.length - first > options.maxEvents ||
      (bytes > options.maxBytes && first < events.length)
    ) {
      const event = events[first]
      if (!event) break
      floor = event.seq ?? floor
      bytes -= sizeOf(event)
      first++
    }
    // Shift in large steps: moving the array at every event would cost more than the memory.
    if (first > 1024 && first * 2 > events.length) {
      events = events.slice(first)
      first = 0
    }
  }

  /** The index of the first event after a seq: they are in order, so by halving. */
  const indexAfter = (seq: number) => {
    let low = first
    let high = events.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((events[middle]?.seq ?? 0) <= seq) low = middle + 1
      else high = middle
    }
    return low
  }

  return {
    add(more, newEnd) {
      for (const event of more) {
        events.push(event)
        bytes += sizeOf(event)
      }
      end = newEnd
      forget()
    },
    remove(ids) {
      const kept = events.slice(first).filter(({ id }) => id === null || !ids.has(id))
      bytes = kept.reduce((sum, event) => sum + sizeOf(event), 0)
      events = kept
      first = 0
    },
    covers: seq => seq >= floor && seq <= end,
    countAfter: seq => events.length - indexAfter(seq),
    page(channels, after, maxBytes) {
      const page: Event[] = []
      let size = 0
      const isWanted = channels.length > 8 ? new Set(channels) : { has: wanted(channels) }
      for (let index = indexAfter(after); index < events.length; index++) {
        const event = events[index]
        if (!event || !isWanted.has(event.channel) || isExpired(event)) continue
        page.push(event)
        size += sizeOf(event)
        if (size >= maxBytes) return { events: page, end: event.seq ?? after, floor }
      }
      return { events: page, end, floor }
    },
  }
}

/** A short list is faster as it is. */
const wanted = (channels: readonly string[]) => (channel: string) => channels.includes(channel)

const sizeOf = ({ payload, metadata }: Event) => payload.length + (metadata?.length ?? 0)

const isExpired = ({ expiresAt }: Event) => expiresAt !== null && expiresAt <= Date.now()
