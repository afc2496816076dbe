import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import type { Advance } from './log-store.ts'

/** Whether this instance numbers without being asked, so that publishers need not ring. */
export type Vigil = {
  readonly awake: boolean
  /**
   * Decides after each turn, and resolves with how long to pause before the next one if nobody rings: at
   * most `pollMs`.
   */
  after(turn: Advance): Promise<number>
}

/** From so many deliveries in one turn on it is worth to stay awake. */
const busy = 4
/** So many turns in a row with one delivery or none, and it falls asleep: about 10 ms. */
const quietTurns = 20
/** After a busy turn while it is awake: a turn costs almost the same for one delivery as for twenty. */
const busyPauseMs = 2

/**
 * A NOTIFY takes a lock of the whole cluster at commit, so under load it is what limits publishing. The
 * first busy turn takes kairan.awake_lock, which tells publishers not to ring; turns then follow each
 * other almost without a pause. When they stay quiet it gives the lock back. Those that had seen the lock by
 * then may still commit: until none of them is in progress it looks again, after pauses that begin with
 * 1 ms and double. So nobody waits longer than it took to commit, nor than `pollMs`. The lock goes with the
 * connection: who dies awake is noticed by nobody's bell, but by everybody's poll.
 */
export const createVigil = (options: { database: Database; pollMs: number }): Vigil => {
  const { database, pollMs } = options
  let awake = false
  let quiet = 0
  let backend: number | null = null
  let present = false
  /** Transactions below may commit without ringing; null when there are none. */
  let unheard: bigint | null = null
  let pauseMs = 0

  const fallAsleep = async () => {
    awake = false
    unheard = await database.run(fallAsleepNow)
    pauseMs = 0
  }

  return {
    get awake() {
      return awake
    },
    async after({ assigned, backend: answered, oldestTransaction }) {
      const count = assigned ?? 0
      if (answered !== backend) {
        // Another connection: the locks went with the old one.
        backend = answered
        present = false
        if (awake) await fallAsleep()
      }
      if (!present) present = await database.run(beThere)
      quiet = count > 1 ? 0 : quiet + 1
      if (!awake && count >= busy) awake = await database.run(stayAwake)
      else if (awake && quiet >= quietTurns) await fallAsleep()
      else if (unheard !== null && oldestTransaction > unheard) unheard = null

      if (awake) return count >= busy ? busyPauseMs : 0
      if (unheard === null) return pollMs
      const pause = pauseMs
      pauseMs = Math.min(pollMs, pauseMs * 2 || 1)
      return pause
    },
  }
}

const stayAwake = async (sql: Sql) => {
  const [row] = await sql<{ taken: boolean }[]>`
    select pg_try_advisory_lock(kairan.awake_lock()) as taken`
  return row?.taken === true
}

const fallAsleepNow = async (sql: Sql) => {
  const [row] = await sql<{ id: string }[]>`select kairan.fall_asleep()::text as id`
  if (!row) throw new Error('kairan.fall_asleep gave no answer')
  return BigInt(row.id)
}

/** From then on, whoever numbers tells the others. */
const beThere = async (sql: Sql) => {
  const [row] = await sql<{ there: boolean }[]>`
    select pg_try_advisory_lock_shared(kairan.present_lock()) as there`
  return row?.there === true
}
