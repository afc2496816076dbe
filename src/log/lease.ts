import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'

/** Whether this instance is the one that numbers. */
export type Lease = {
  readonly isHeld: boolean
  /** In how many milliseconds `look` is due. */
  readonly dueMs: number
  /** Whether it was renewed too long ago for this instance to go on as if it had it. */
  readonly isDoubtful: boolean
  /** Renews the lease, takes it when nobody has it, or finds that another instance has it. */
  look(): Promise<void>
  /** Lets another instance take it at once. */
  resign(): Promise<void>
}

/** An instance that has not renewed its lease for so long is frozen or cut off: another one takes it. */
const leaseMs = 2500
const renewMs = 500
/**
 * So often one of the instances that wait looks whether the lease has ended: each at random, less often the more there
 * are. A look costs Postgres some 0.05 ms.
 */
const watchMs = 100
/** So often each of them at least looks. */
const mostWatchMs = 1000
const countMs = 5000

/**
 * A lease in `kairan.leases`. It ends with the session of `database`, so that an instance which is killed is replaced
 * at once, or after `leaseMs`. Two that believe they have it do no harm: see docs/guarantees.md.
 */
export const createLease = (options: {
  /** The session that numbers. */
  database: Database
  instanceId: string
  report: Report
  /** This instance numbers from now on, or does not any more. */
  onChange(isHeld: boolean): void
}): Lease => {
  const { database, instanceId, report } = options
  let isHeld = false
  /** When the last look began that succeeded. */
  let lookedAt = Number.NEGATIVE_INFINITY
  let dueAt = Number.NEGATIVE_INFINITY
  let waiting = 1
  let countedAt = Number.NEGATIVE_INFINITY

  const change = (holds: boolean) => {
    if (holds === isHeld) return
    isHeld = holds
    // Who begins alone has nothing to say.
    if (lookedAt > 0)
      report.info({}, holds ? 'This instance numbers.' : 'This instance does not number any more.')
    options.onChange(holds)
  }

  /** How many sessions like this one there are, but for that of who has the lease. */
  const count = async (now: number) => {
    if (now - countedAt < countMs) return
    countedAt = now
    waiting = Math.max(1, (await database.run(countSessions)) - 1)
  }

  return {
    get isHeld() {
      return isHeld
    },
    get dueMs() {
      return Math.max(0, dueAt - performance.now())
    },
    get isDoubtful() {
      return performance.now() - lookedAt > leaseMs
    },
    async look() {
      const now = performance.now()
      const [row] = await database.run(
        sql => sql<{ term: number | null }[]>`
          select kairan.hold_lease(${instanceId}, ${leaseMs}) as term`,
      )
      change(typeof row?.term === 'number')
      lookedAt = now
      if (!isHeld) await count(now)
      const shared = Math.min(watchMs * waiting, mostWatchMs) * (0.5 + Math.random())
      dueAt = performance.now() + (isHeld ? renewMs : shared)
    },
    async resign() {
      if (!isHeld) return
      change(false)
      try {
        await database.run(sql => sql`select kairan.resign(${instanceId})`)
      } catch (error) {
        report.info(
          { error: messageOf(error) },
          'The lease could not be given up: it ends by itself.',
        )
      }
    },
  }
}

/** Sessions of this name in this database, from shared memory: no row has to be read. */
const countSessions = async (sql: Sql) => {
  const [row] = await sql<{ sessions: number }[]>`
    select count(*)::int as sessions
    from pg_stat_get_activity(null) a join pg_database d on d.oid = a.datid
    where d.datname = current_database() and a.application_name = current_setting('application_name')`
  return row?.sessions ?? 1
}
