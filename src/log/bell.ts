import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import type { Advance } from './log-store.ts'

/** Whether publishers ring: not while this instance numbers without being asked. */
export type Bell = {
  /** Which instance it is, for `kairan.number`. */
  readonly owner: number
  /** For how long publishers need not ring from now on; 0 when they should. */
  readonly awakeMs: number
  /** This instance begins to number. Publishers may have seen that the one before it was awake. */
  begin(): Promise<void>
  /** Another instance numbers. */
  end(): void
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
/**
 * After a busy turn while it is awake: a turn costs almost the same for one delivery as for twenty. Where many come, all
 * wait a little longer for a tenth less of CPU and so much more that can be published. See docs/performance.md.
 */
const busyPauseMs = 2
const rush = 12
const rushPauseMs = 8
/** Publishers ring again so long after an instance that was awake has died. */
const awakeMs = 300

/**
 * A NOTIFY takes a lock of the whole cluster at commit, so under load it is what limits publishing. From the
 * first busy turn on `kairan.awake_until` tells publishers not to ring; turns then follow each
 * other almost without a pause. When they stay quiet publishers are told to ring again. Those that had seen
 * the value before may still commit: until none of them is in progress it looks again, after pauses that
 * begin with 1 ms and double. So nobody waits longer than it took to commit, nor than `pollMs`.
 */
export const createBell = (options: { database: Database; pollMs: number }): Bell => {
  const { database, pollMs } = options
  const owner = Math.floor(Math.random() * 1000)
  let awake = false
  let quiet = 0
  /** Transactions below may commit without ringing; null when there are none. */
  let unheard: bigint | null = null
  let pauseMs = 0

  const fallAsleep = async () => {
    awake = false
    unheard = await database.run(sql => fallAsleepAs(sql, owner))
    pauseMs = 0
  }

  return {
    owner,
    get awakeMs() {
      return awake ? awakeMs : 0
    },
    begin: fallAsleep,
    end() {
      awake = false
      unheard = null
    },
    async after({ assigned, awake: isKnown, oldestTransaction }) {
      const count = assigned ?? 0
      quiet = count > 1 ? 0 : quiet + 1
      if (!awake && count >= busy) {
        // Publishers know it from the next turn on, unless another instance is awake: that is as good.
        awake = true
        return 0
      }
      if (awake && (quiet >= quietTurns || !isKnown)) await fallAsleep()
      // One that numbers at the same time may have looked before the last of them committed.
      else if (unheard !== null && assigned !== null && oldestTransaction > unheard) unheard = null

      if (awake) return pauseAfter(count)
      if (unheard === null) return pollMs
      const pause = pauseMs
      pauseMs = Math.min(pollMs, pauseMs * 2 || 1)
      return pause
    },
  }
}

const pauseAfter = (count: number) => {
  if (count >= rush) return rushPauseMs
  return count >= busy ? busyPauseMs : 0
}

const fallAsleepAs = async (sql: Sql, owner: number) => {
  const [row] = await sql<{ id: string }[]>`select kairan.fall_asleep(${owner}::int)::text as id`
  if (!row) throw new Error('kairan.fall_asleep gave no answer')
  return BigInt(row.id)
}
