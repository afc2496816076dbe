import { createPause } from '../lib/backoff.ts'
import { createBatchSize } from '../lib/batch-size.ts'
import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import type { Database } from '../postgres/database.ts'
import { createBell } from './bell.ts'
import { createChanges } from './changes.ts'
import type { Event } from './event.ts'
import type { Lease } from './lease.ts'
import {
  type Advance,
  advance,
  type Batch,
  follow,
  type Newest,
  newest,
  turnRows,
} from './log-store.ts'
import { createPatience } from './patience.ts'
import type { Outcome, Step } from './step.ts'
import type { UserChange } from './user-change.ts'
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
  /** Applies a step that another instance has sent, if it continues what this one has; else wakes if need be. */
  offer(step: Step): void
  /** Why the log is not read at the moment, and since when (Unix milliseconds); null while it is. */
  readonly state: { problem: string | null; since: number }
  stop(): Promise<void>
}

/** How soon it tries again after a failure. Sockets are paced besides, see connect.ts. */
const retryMs = 250
/** What has thousands of channels with long names takes a while: fewer deliveries are then numbered at once. */
const piece = { most: turnRows, least: 16, slowMs: 1500 }
/** So many steps wait at most while the table is read; when there are more, it is read once again. */
const mostOffers = 256

/**
 * Gives committed deliveries their seq, if this instance has the lease for it, and reads the log for all streams of
 * this instance. A wake-up only makes it look sooner: it looks every `pollMs` anyway, so a lost NOTIFY costs time and
 * nothing else. The same holds for steps that another instance sends.
 */
export const createDispatcher = (options: {
  database: Database
  lease: Lease
  pollMs: number
  report: Report
  /** Which server answers, and of which cluster; null as long as none has. */
  server(): { server: string; cluster: string } | null
  /**
   * This is the log, and all that follows will be after `head`; `before` is its newest part until there. Again when it
   * can't be followed.
   */
  onBegin(epoch: string, head: number, before: Newest): void
  /** The next piece of the log, complete up to `end`; from the table, or from the instance that numbers. */
  onEvents(events: readonly Event[], end: number, from: 'table' | 'relay'): void
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
  /** This instance numbers, and has come this far: for the others. */
  onStep(step: Step): void
  /** What became of a step that was offered. */
  onOffer(outcome: Outcome): void
}): Dispatcher => {
  const { database, lease, pollMs, report } = options
  const state: Dispatcher['state'] = { problem: 'not started', since: Date.now() }
  let epoch = ''
  /** The seq up to which the log has been dispatched; null before it is known. */
  let position: number | null = null
  let batch: Batch | null = null
  let stopped = false
  let woken = false
  let running: Promise<void> | null = null
  let server = options.server()
  /** Whether this instance numbered in the last turn. */
  let numbers = false
  /** The next answer, if it has been asked for already. */
  let ahead: Promise<Advance> | null = null
  /** Resolved by the first turn that begins from now on and succeeds. */
  let nextLook: PromiseWithResolvers<void> | null = null
  /** When the table has to be looked at by an instance that does not number. */
  let pollAt = 0
  let isTurning = false
  let offers: Step[] = []
  const withdrawn = createWithdrawn()
  const patience = createPatience()
  const pause = createPause()
  const size = createBatchSize(piece)
  const bell = createBell({ database, pollMs })
  const changes = createChanges({
    ...options,
    onWithdrawn(told) {
      withdrawn.add(told)
      options.onWithdrawn(told)
    },
  })

  const wake = () => {
    woken = true
    pause.end()
  }

  const ask = (after: number | null, batch: Batch | null) => {
    const { owner, awakeMs } = bell
    const known = { after, seen: changes.seen, batch, awakeMs, owner }
    const answer = size.run(most =>
      database.run(sql => (numbers ? advance(sql, { ...known, most }) : follow(sql, known))),
    )
    // Whoever waits for it hears of it; it may be that nobody does.
    answer.catch(() => undefined)
    return answer
  }

  const run = async () => {
    while (!stopped) {
      const called = woken
      woken = false
      const before = position
      isTurning = true
      const pauseMs = await turn(called)
      isTurning = false
      takeOffers()
      // Anybody can NOTIFY, all the time: that makes it look, but at a bounded rate.
      const emptyMs = patience.after(called, position !== before)
      if (emptyMs > 0 && !stopped) await Bun.sleep(emptyMs)
      if (pauseMs > 0 && !woken && !stopped) await pause.wait(pauseMs)
    }
  }

  /** Keeps the lease, then numbers or reads, and dispatches. Resolves with how long to pause before the next turn. */
  const turn = async (called: boolean) => {
    // What was asked ahead was asked before.
    const look = ahead ? null : nextLook
    if (look) nextLook = null
    try {
      await followLease()
      const isDue = called || look !== null || ahead !== null || performance.now() >= pollAt
      if (!numbers && !isDue) return restMs()
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
        await changes.read(found.changed, isSame)
        if (found.now !== null && !found.changed) changes.sawNothingIn(found.now)
        look?.resolve()
        if (begins(found)) await begin(found)
        else take(found)
        withdrawn.endTurn()
      }
      batch = found.batch
      if (position !== found.end) ahead = null
      pollAt = performance.now() + pollMs
      const pauseMs = numbers ? await bell.after(found) : restMs()
      if (numbers && lease.dueMs === 0) await lease.look()
      return found.more ? 0 : pauseMs
    } catch (error) {
      ahead = null
      pollAt = 0
      if (look) retryLook(look)
      changes.doubt()
      if (!state.problem) state.since = Date.now()
      if (state.problem !== messageOf(error)) {
        report.error({ error: messageOf(error) }, 'The log can not be read.')
      }
      state.problem = messageOf(error)
      return retryMs
    }
  }

  /**
   * The lease is renewed after a turn that succeeded, so that an instance which can't number loses it. Before a turn it
   * is looked at when this instance has none, or has been away for so long that another one may have it.
   */
  const followLease = async () => {
    if (lease.isHeld ? lease.isDoubtful : lease.dueMs === 0) await lease.look()
    if (lease.isHeld === numbers) return
    ahead = null
    if (lease.isHeld) await bell.begin()
    else bell.end()
    numbers = lease.isHeld
  }

  /** How long an instance pauses that does not number. */
  const restMs = () => Math.min(lease.dueMs, Math.max(0, pollAt - performance.now())) || 1

  /** It has to wait for a turn that succeeds. */
  const retryLook = (look: PromiseWithResolvers<void>) => {
    if (nextLook) void nextLook.promise.then(look.resolve)
    else nextLook = look
  }

  const noticeServer = () => {
    const before = server
    server = options.server()
    if (server?.cluster !== before?.cluster) changes.forget()
    if (server?.server !== before?.server) changes.doubt()
  }

  /** Whether what was dispatched is no longer in the log, also when its head is beyond already. */
  const wentBack = (found: Advance) => found.isOther || found.head < (position ?? 0)

  /** The log went back: it was restored to an earlier state. Its numbers are given again. */
  const beginAnew = async () => {
    report.warn({ epoch, position }, 'The log went back: it gets another epoch, clients get a gap.')
    await database.run(sql => sql`select kairan.begin_anew(${epoch})`)
    wake()
  }

  /** Another log, or this one was not read for so long that a part of it has been removed. */
  const begins = (found: Advance) =>
    found.epoch !== epoch || position === null || found.floor > position

  const begin = async ({ head, epoch: begun }: Advance) => {
    // Streams that return to an instance which has just started find here what they have missed.
    const before = await database.run(sql => newest(sql, head))
    // A stream that is being opened may have been authorised before.
    if (epoch !== '') changes.doubt()
    epoch = begun
    position = head
    options.onBegin(epoch, head, before)
  }

  const take = (found: Advance) => {
    if (position === null || found.end <= position) return
    const events = withdrawn.without(found.events)
    const prev = position
    position = found.end
    if (numbers) sendStep(prev, position, events)
    options.onEvents(events, found.end, 'table')
    if (found.expired.length > 0) options.onExpired(found.expired)
  }

  const sendStep = (prev: number, to: number, events: readonly Event[]) =>
    options.onStep({
      server: server?.server ?? '',
      epoch,
      prev,
      to,
      events,
      told: changes.take(),
    })

  const takeOffers = () => {
    const waiting = offers
    offers = []
    for (const step of waiting) options.onOffer(takeOffer(step))
  }

  /**
   * Goes on from `prev` to `to` as the table would: all that was told of users before one of the events was committed
   * is applied before them, what had been told earlier included, of which this instance may have missed a part.
   */
  const takeOffer = (step: Step): Outcome => {
    const { told } = step
    if (position !== null && step.epoch === epoch && step.to <= position) return 'known'
    const isNext = step.epoch === epoch && step.prev === position
    const isHere = server !== null && step.server === server.server && state.problem === null
    const events = withdrawn.withoutRecent(step.events)
    if (numbers || !isNext || !isHere || !told || !events || !changes.continues(told)) {
      wake()
      return 'missing'
    }
    changes.apply(told)
    position = step.to
    if (ahead) {
      // It was asked from where this instance was before, and has these events, too.
      ahead = null
      wake()
    }
    options.onEvents(events, step.to, 'relay')
    return 'applied'
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
    offer(step) {
      if (!isTurning) options.onOffer(takeOffer(step))
      else if (offers.push(step) > mostOffers) {
        offers = []
        wake()
      }
    },
    state,
    async stop() {
      stopped = true
      pause.end()
      await running
      await lease.resign()
    },
  }
}
