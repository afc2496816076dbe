import { createPause } from '../lib/backoff.ts'
import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import type { Database } from '../postgres/database.ts'
import { createBell } from './bell.ts'
import type { Event } from './event.ts'
import { type Advance, advance, type Batch } from './log-store.ts'
import type { UserChange } from './user-change.ts'
import { type Look, lookAtChanges, type Snapshot } from './user-change-store.ts'
import { createWithdrawn, type Withdrawal } from './withdrawal.ts'

export type Dispatcher = {
  /** Begins at the head of the log, and goes on until it is stopped. */
  start(): void
  /** There may be something new: looks at once, or once more when it is looking already. */
  wake(): void
  /** Wakes, and resolves when all has been read that was committed before: changes of users, too. */
  look(): Promise<void>
  /** Wakes unless the log is known up to `head`. */
  wakeFor(head: number): void
  /** Why the log is not read at the moment, and since when (Unix milliseconds); null while it is. */
  readonly state: { problem: string | null; since: number }
  stop(): Promise<void>
}

/** How soon it tries again after a failure. Sockets are paced besides, see connect.ts. */
const retryMs = 250
/** After so many looks in a row that were called for and found no event, each next one waits a little. */
const patience = 20
const emptyPauseMs = 10
/** Changes are removed after ten minutes (kairan.prune_user_changes). */
const changesKeptMs = 5 * 60_000

/**
 * Gives committed deliveries their seq and reads the log for all streams of this instance. A wake-up
 * only makes it look sooner: it looks every `pollMs` anyway, so a lost NOTIFY costs time and nothing else.
 */
export const createDispatcher = (options: {
  database: Database
  pollMs: number
  report: Report
  /** Which server answers, and of which cluster; null as long as none has. */
  server(): { server: string; cluster: string } | null
  /** Whether other instances have to be woken when this one has numbered something. */
  hasPeers(): boolean
  /** This is the log, and all that follows will be after `head`. Again when it can't be followed. */
  onBegin(epoch: string, head: number): void
  /** The next piece of the log, complete up to `end`. */
  onEvents(events: Event[], end: number): void
  /** Deliveries that expired before they could be sent. */
  onExpired(seqs: number[]): void
  /** Something was told of a user, before the events that follow were committed. */
  onChange(change: UserChange): void
  /** These were withdrawn: what follows has none of them. Pending deliveries of them may be left. */
  onWithdrawn(withdrawn: Withdrawal[]): void
  /** Of what was dispatched before, some may have been withdrawn: which is not known. */
  onWithdrawnLost(): void
  /** What was told of users until now is not known. */
  onChangesLost(): void
}): Dispatcher => {
  const { database, pollMs, report } = options
  const state: Dispatcher['state'] = { problem: 'not started', since: Date.now() }
  let epoch = ''
  /** The seq up to which the log has been dispatched; null before it is known. */
  let position: number | null = null
  let batch: Batch | null = null
  let stopped = false
  let woken = false
  let running: Promise<void> | null = null
  let server = options.server()
  /** What has been read of the changes of users, and when; null when that can't be known. */
  let seen: Snapshot | null = null
  let seenAt = 0
  /** Whether some may have been missed all the same: perhaps another server answers now. */
  let isUnsure = true
  /** The next answer, if it has been asked for already. */
  let ahead: Promise<Advance> | null = null
  /** Resolved by the first turn that begins from now on and succeeds. */
  let nextLook: PromiseWithResolvers<void> | null = null
  /** How many turns in a row found nothing although somebody had called for them. */
  let calledForNothing = 0
  const withdrawn = createWithdrawn()
  const pause = createPause()
  const bell = createBell({ database, pollMs })

  const wake = () => {
    woken = true
    pause.end()
  }

  const ask = (after: number | null, batch: Batch | null) => {
    const { owner, awakeMs } = bell
    const known = { after, seen, batch, awakeMs, owner, tell: options.hasPeers() }
    const answer = database.run(sql => advance(sql, known))
    // Whoever waits for it hears of it; it may be that nobody does.
    answer.catch(() => undefined)
    return answer
  }

  const run = async () => {
    while (!stopped) {
      const called = woken
      woken = false
      const before = position
      const pauseMs = await turn()
      calledForNothing = called && position === before ? calledForNothing + 1 : 0
      // Anybody can NOTIFY, all the time: that makes it look, but at a bounded rate.
      if (calledForNothing > patience && !stopped) await Bun.sleep(emptyPauseMs)
      if (pauseMs > 0 && !woken && !stopped) await pause.wait(pauseMs)
    }
  }

  /** Numbers, reads and dispatches once. Resolves with how long to pause before the next turn. */
  const turn = async () => {
    // What was asked ahead was asked before.
    const look = ahead ? null : nextLook
    if (look) nextLook = null
    try {
      const found = await (ahead ?? ask(position, batch))
      // There is more: the database looks for it while this is dispatched.
      ahead = found.more ? ask(found.end, found.batch) : null
      if (state.problem) report.info({ afterMs: Date.now() - state.since }, 'The log is read.')
      state.problem = null
      noticeServer()
      const isSame = found.epoch === epoch && position !== null && found.floor <= position
      if (isSame && wentBack(found)) {
        if (look) retryLook(look)
        await beginAnew()
      } else {
        await readChanges(found.changed, isSame)
        look?.resolve()
        take(found)
        withdrawn.endTurn()
      }
      batch = found.batch
      if (position !== found.end) ahead = null
      const pauseMs = await bell.after(found)
      return found.more ? 0 : pauseMs
    } catch (error) {
      ahead = null
      if (look) retryLook(look)
      isUnsure = true
      if (!state.problem) state.since = Date.now()
      if (state.problem !== messageOf(error)) {
        report.error({ error: messageOf(error) }, 'The log can not be read.')
      }
      state.problem = messageOf(error)
      return retryMs
    }
  }

  /** It has to wait for a turn that succeeds. */
  const retryLook = (look: PromiseWithResolvers<void>) => {
    if (nextLook) void nextLook.promise.then(look.resolve)
    else nextLook = look
  }

  /** Another cluster's transactions have nothing to do with those in `seen`. */
  const noticeServer = () => {
    const before = server
    server = options.server()
    if (server?.cluster !== before?.cluster) seen = null
    if (server?.server === before?.server) return
    isUnsure = true
  }

  /** Whether what was dispatched is no longer in the log, also when its head is beyond already. */
  const wentBack = (found: Advance) => found.isOther || found.head < (position ?? 0)

  /**
   * Whoever may read less by now is told so before the events are dispatched. Nobody is where another log
   * begins: its streams end, and are authorised when they return.
   */
  const readChanges = async (changed: boolean, isSame: boolean) => {
    if (!isSame) seen = null
    const lookedAt = seenAt
    seenAt = Date.now()
    // It stood still for so long that some may have been removed.
    if (seenAt - lookedAt > changesKeptMs) {
      seen = null
      isUnsure = true
    }
    if (!changed && !isUnsure && seen !== null) return
    const since = seen
    let now: Snapshot | null = null
    for (let after: number | null = 0; after !== null; ) {
      const look: Look = await database.run(sql => lookAtChanges(sql, since, after ?? 0))
      now ??= look.now
      after = look.after
      if (look.isOlder) isUnsure = true
      for (const change of look.changes) options.onChange(change)
      withdrawn.add(look.withdrawn)
      if (look.withdrawn.length > 0) options.onWithdrawn(look.withdrawn)
    }
    seen = now
    if (since === null && isSame) options.onWithdrawnLost()
    if (isUnsure && isSame) options.onChangesLost()
    isUnsure = false
  }

  /** The log went back: it was restored to an earlier state. Its numbers are given again. */
  const beginAnew = async () => {
    report.warn({ epoch, position }, 'The log went back: it gets another epoch, clients get a gap.')
    await database.run(sql => sql`select kairan.begin_anew(${epoch})`)
    wake()
  }

  const take = (found: Advance) => {
    // Another log, or this one was not read for so long that a part of it has been removed.
    if (found.epoch !== epoch || position === null || found.floor > position) {
      // A stream that is being opened may have been authorised before.
      isUnsure = epoch !== ''
      epoch = found.epoch
      position = found.head
      options.onBegin(epoch, position)
    } else if (found.end > position) {
      position = found.end
      options.onEvents(withdrawn.without(found.events), found.end)
      if (found.expired.length > 0) options.onExpired(found.expired)
    }
  }

  return {
    start() {
      running ??= run()
    },
    wake,
    look() {
      nextLook ??= Promise.withResolvers()
      wake()
      return nextLook.promise
    },
    wakeFor(head) {
      if (head > (position ?? -1)) wake()
    },
    state,
    async stop() {
      stopped = true
      pause.end()
      await running
    },
  }
}
