import { distance } from './cursors.ts'
import type { NotificationEvent } from './types.ts'

/** How many are unread and unseen. */
export type Counts = {
  unread: number
  /** How many of the unread were not seen, either. */
  unseen: number
}

/** The same, as the service says it, and when that was. */
export type Count = Counts & {
  /** Where the log ended. */
  cursor: string
  /** After which change of what is read; absent before the first. */
  revision?: number
  /** When the first of them expires. */
  unreadUntil?: string
}

/** Where a Count stops. */
const mostCounted = 1000
/** So many events are remembered. */
const maxEvents = 1000
/** Within which many clients ask that have to ask because of the same event. */
const spreadMs = 2000

/**
 * Counts the unread and the unseen: those of the newest Count, and the events since. Counts come late and in any order:
 * the one with the higher revision is of later, and the events tell between those of the same. Where the events can't
 * tell, it is asked again.
 */
export const createCounter = (options: {
  /** Asks the service for a Count, and has it learnt; does nothing where another tab does. */
  ask(): unknown
  onChange(counts: Counts): void
}) => {
  let base: Count | null = null
  let added = 0
  /** What came last, and when it was published. */
  const events: { cursor: string; at: number }[] = []
  /** All that came after it are among them; null before the first stream. */
  let from: string | null = null
  /** When something was last counted, by the clock of the service, and how far that is ahead. */
  let countedAt = 0
  let aheadMs = 0
  /** Which request the newest Count answers. */
  let learntTurn = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  /** When it asks next. */
  let dueAt = Infinity

  const revision = () => base?.revision ?? 0

  /** Asks in so many milliseconds, or earlier when somebody else wants that. */
  const recount = (ms = 0) => {
    const at = Date.now() + ms
    // What is due in over three weeks can't be waited for, nor what has no date.
    if (!base || at >= dueAt || !(ms <= 2e9)) return
    dueAt = at
    clearTimeout(timer)
    timer = setTimeout(() => {
      dueAt = Infinity
      options.ask()
    }, ms)
  }

  const recountSoon = (ms = 0) => recount(ms + Math.random() * spreadMs)

  const recountAt = (moment?: string) => {
    if (moment) recountSoon(Math.max(0, Date.parse(moment) - Date.now() - aheadMs))
  }

  const add = ({ cursor, at }: { cursor: string; at: number }) => {
    if (!base || !(distance(cursor, base.cursor) > 0)) return
    // It was there before: whether it was counted then, nobody here knows.
    if (at < countedAt) recountSoon()
    else added++
  }

  /** What has come since was not seen: a user has seen up to where the log ended then, at most. */
  const counts = ({ unread, unseen }: Counts, most = Infinity): Counts => ({
    unread: Math.min(unread + added, most),
    unseen: Math.min(unseen + added, most),
  })

  const change = () => {
    if (base) options.onChange(counts(base, mostCounted))
  }

  return {
    revision,
    recount,
    recountSoon,
    /** What the service's clock said with an answer. */
    setClock(time: string | null) {
      const now = Date.parse(`${time}`)
      if (now > countedAt) {
        countedAt = now
        aheadMs = now - Date.now()
      }
    },
    /**
     * Learns a Count. `asked` is the revision that was known when it was asked for: what has lost its revision
     * to retention or a restore is believed if nothing else was learnt in between. `turn` says which request it was: a
     * withdrawal has no revision, but what was asked for after it knows of it.
     */
    learn(count: Count, asked?: number, turn = learntTurn) {
      if ((count.revision ?? 0) < revision() && revision() !== asked) return
      if (count.revision === base?.revision && turn < learntTurn) return
      learntTurn = turn
      base = count
      added = 0
      events.forEach(add)
      if (from !== null && !(distance(base.cursor, from) >= 0)) recount()
      recountAt(base.unreadUntil)
      change()
    },
    /** An event has come that was published then; 0 for one that has come before. */
    add({ cursor, expiresAt }: NotificationEvent, at: number) {
      if (cursor === null) return
      const event = { cursor, at }
      events.push(event)
      if (events.length > maxEvents) from = events.shift()?.cursor ?? from
      add(event)
      recountAt(expiresAt)
      change()
    },
    /** A stream begins, or goes on after a gap: what was marked before it was not told. */
    begin(cursor: string | null, isResumed: boolean) {
      if (!isResumed || from === null) from = cursor
      recount()
    },
    /** The Count of here and now, for the other tabs. */
    at(cursor: string | null): Count | null {
      if (!base) return null
      const isAhead = cursor !== null && distance(cursor, base.cursor) > 0
      return { ...base, ...counts(base), ...(isAhead && { cursor }) }
    },
    /** Whoever asks for a Count now need not ask again. */
    stop() {
      dueAt = Infinity
      clearTimeout(timer)
    },
  }
}
