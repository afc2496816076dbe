import postgres from 'postgres'
import type { Random } from './random.ts'

export type Publisher = { run(): Promise<void>; stop(): void; readonly counts: Counts }
export type Counts = { committed: number; rolledBack: number; failed: number }

/**
 * A program that publishes: transactions of one to three notifications, of 1 byte to 60 KB, that take
 * their time before they commit, or roll back. Its own connections, not through any proxy.
 */
export const createPublisher = (url: string, channels: string[], random: Random): Publisher => {
  const counts = { committed: 0, rolledBack: 0, failed: 0 }
  let stopped = false

  const publish = async (sql: postgres.Sql) => {
    let rollBack = false
    try {
      await sql.begin(async tx => {
        for (let left = random.integer(1, 3); left > 0; left--) {
          const size = random.chance(0.03) ? random.integer(10_000, 60_000) : random.integer(1, 300)
          const targets = random.chance(0.1)
            ? ['all-users', random.pick(channels)]
            : [random.pick(channels)]
          await tx`select kairan.publish(${targets}::text[], ${tx.json({ text: 'é'.repeat(size / 2) })})`
        }
        if (random.chance(0.3)) await Bun.sleep(random.between(0, 30))
        rollBack = random.chance(0.2)
        if (rollBack) throw new Error('roll back')
      })
      counts.committed++
    } catch {
      // Whether a commit whose answer was lost has happened, the table knows.
      if (rollBack) counts.rolledBack++
      else {
        counts.failed++
        await Bun.sleep(20)
      }
    }
  }

  return {
    counts,
    async run() {
      const sql = postgres(url, {
        max: 1,
        onnotice: () => undefined,
        connect_timeout: 2,
        backoff: () => 0.05,
      })
      while (!stopped) {
        await publish(sql)
        await Bun.sleep(random.between(0, 10))
      }
      await sql.end({ timeout: 1 })
    },
    stop() {
      stopped = true
    },
  }
}
