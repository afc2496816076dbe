import { backoffMs, createPause } from '../lib/backoff.ts'
import { messageOf } from '../lib/errors.ts'
import { afterListening } from '../lib/patient-timer.ts'
import type { Report } from '../lib/report.ts'
import { connect, type Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import type { Judge } from '../postgres/primary.ts'
import { mostPauseMs } from '../postgres/socket.ts'

export type Listener = {
  start(): void
  /** Begins a new session. */
  renew(): void
  /** Listens on this channel too, or does not any more. `onHear` is called once it listens. */
  hear(channel: string, isHeard: boolean): void
  /** Whether NOTIFYs are known to arrive, and why not if not. */
  readonly state: { listening: boolean; problem: string | null }
  stop(): Promise<void>
}

/** The notify channel on which a listener hears itself. */
const probeChannel = 'kairan_probe'

/**
 * Hears NOTIFY and wakes others. Its own session, not postgres.js' `listen`: that never says that it is
 * down, and never notices a server which is frozen or a pooler which has lost the registration. Here
 * every heartbeat sends a NOTIFY to itself and waits for it, which proves the whole way.
 */
export const createListener = (options: {
  url: string
  channels: string[]
  heartbeatMs: number
  /** How long a session may take to answer before it is given up. */
  timeoutMs: number
  report: Report
  /** Whether a session may be used. */
  judge: Judge
  onNotify(channel: string, payload: string): void
  /** It listens (again): whatever was sent before may have been missed. */
  onUp(): void
  /** It listens on what `hear` was last called with: what was sent there before was missed. */
  onHear?: () => void
  /** Postgres said what time it is (`databaseAt`), between these two moments. All in Unix milliseconds. */
  onClock?: ClockObserver
}): Listener => {
  const { report, heartbeatMs, timeoutMs } = options
  const state: Listener['state'] = { listening: false, problem: 'not started' }
  let stopped = false
  let failures = 0
  const wanted = new Set([...options.channels, probeChannel])
  let adjust: (() => void) | null = null
  let endSession: ((reason: string) => void) | null = null
  const pause = createPause()
  let running: Promise<void> | null = null

  const run = async () => {
    while (!stopped) {
      const problem = await session()
      if (stopped) break
      if (state.listening || failures === 0) {
        report.warn({ error: problem }, 'LISTEN is down: delivery goes on by polling.')
      }
      state.listening = false
      state.problem = problem
      await pause.wait(backoffMs(failures++, mostPauseMs))
    }
  }

  /** Listens until something is wrong, and says what. */
  const session = async () => {
    const lost = Promise.withResolvers<never>()
    lost.promise.catch(() => undefined)
    const probe = createProbe()
    const sql = connect(options.url, {
      max: 1,
      name: 'kairan listener',
      direct: true,
      judge: options.judge,
      // What closes a session that was refused is its judge, whose words come first.
      onClose: () => setImmediate(() => lost.reject(new Error('the connection was closed'))),
      onNotify(channel, payload) {
        if (channel === probeChannel) probe.heard(payload)
        else options.onNotify(channel, payload)
      },
    })
    const registration = createRegistration(sql, wanted)
    endSession = reason => lost.reject(new Error(reason))
    adjust = () => {
      registration.adjust().then(
        () => options.onHear?.(),
        error => lost.reject(error),
      )
    }
    try {
      await within(timeoutMs, lost.promise, registration.adjust())
      while (!stopped) {
        await within(timeoutMs, lost.promise, probe.send(sql, registration, options.onClock))
        if (!state.listening) up()
        await Promise.race([lost.promise, Bun.sleep(heartbeatMs)])
      }
      return 'stopped'
    } catch (error) {
      return messageOf(error)
    } finally {
      endSession = null
      adjust = null
      void sql.end({ timeout: 0 })
    }
  }

  const up = () => {
    if (failures > 0) report.info({ attempts: failures }, 'LISTEN is up again.')
    failures = 0
    state.listening = true
    state.problem = null
    options.onUp()
  }

  return {
    start() {
      running ??= run()
    },
    renew: () => endSession?.('another server is followed'),
    hear(channel, isHeard) {
      if (wanted.has(channel) === isHeard) return
      if (isHeard) wanted.add(channel)
      else wanted.delete(channel)
      adjust?.()
    },
    state,
    async stop() {
      stopped = true
      endSession?.('stopped')
      pause.end()
      await running
    },
  }
}

type ClockObserver = (sentAt: number, databaseAt: number, answeredAt: number) => void

/** The channels that a session listens on. Its statements are answered in order. */
const createRegistration = (sql: Sql, wanted: ReadonlySet<string>) => {
  const registered = new Set<string>()
  let last = Promise.resolve()

  const adjustOnce = async () => {
    const more = [...wanted].filter(channel => !registered.has(channel))
    const fewer = [...registered].filter(channel => !wanted.has(channel))
    const statements = [...more.map(c => `listen ${c}`), ...fewer.map(c => `unlisten ${c}`)]
    if (statements.length > 0) await sql.unsafe(statements.join(';'))
    for (const channel of more) registered.add(channel)
    for (const channel of fewer) registered.delete(channel)
  }

  return {
    get size() {
      return registered.size
    },
    /** Resolves when the session listens on what is wanted now, and on nothing else. */
    adjust() {
      last = last.then(adjustOnce)
      return last
    },
  }
}

/** Sends a NOTIFY to its own session and waits until it arrives. */
const createProbe = () => {
  const token = crypto.randomUUID()
  let heard: (() => void) | null = null
  return {
    heard(payload: string) {
      if (payload === token) heard?.()
    },
    async send(sql: Sql, registration: { size: number }, onClock: ClockObserver = () => undefined) {
      const arrived = new Promise<void>(resolve => {
        heard = resolve
      })
      const sentAt = Date.now()
      const [row] = await sql<{ listening: number; now: number }[]>`
        select pg_notify(${probeChannel}, ${token}),
          (select count(*)::int from pg_listening_channels()) as listening,
          extract(epoch from clock_timestamp())::float8 * 1000 as now`
      if (row) onClock(sentAt, row.now, Date.now())
      if (row?.listening !== registration.size) throw new Error('the registration was lost')
      await arrived
    },
  }
}

const within = async (ms: number, lost: Promise<never>, work: PromiseLike<unknown>) => {
  const late = Promise.withResolvers<never>()
  const end = afterListening(ms, () => late.reject(new Error(`no answer within ${ms} ms`)))
  try {
    await Promise.race([work, lost, late.promise])
  } finally {
    end()
  }
}

/** How full the queue of NOTIFYs of Postgres is, from 0 to 1. */
export const queueUsage = async (database: Database) => {
  const [row] = await database.run(
    sql => sql<{ usage: number }[]>`select pg_notification_queue_usage() as usage`,
  )
  return row?.usage ?? 0
}
