import type postgres from 'postgres'
import { eventually } from './eventually.ts'

/**
 * Freezes these backends of Postgres until the end of the scope, each while it waits for its client: frozen elsewhere,
 * one could hold a lock that all others need.
 */
export const freezeBackends = async (sql: postgres.Sql, pids: number[]): Promise<Disposable> => {
  const signal = (name: NodeJS.Signals) => {
    for (const pid of pids) process.kill(pid, name)
  }
  const frozen = { [Symbol.dispose]: () => signal('SIGCONT') }
  try {
    await eventually(async () => {
      signal('SIGSTOP')
      const waiting = await sql`
        select from pg_stat_activity where pid = any(${pids}) and wait_event = 'ClientRead'`
      if (waiting.length === pids.length) return true
      signal('SIGCONT')
      return false
    })
  } catch (error) {
    frozen[Symbol.dispose]()
    throw error
  }
  return frozen
}
