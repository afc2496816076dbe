import type postgres from 'postgres'
import { eventually } from './eventually.ts'

/**
 * Freezes these backends of Postgres until the end of the scope, each while it waits for its client: frozen elsewhere,
 * one could hold a lock that all others need, also those of other databases.
 */
export const freezeBackends = async (sql: postgres.Sql, pids: number[]): Promise<Disposable> => {
  const frozen = { [Symbol.dispose]: () => pids.forEach(thaw) }
  try {
    await Promise.all(pids.map(pid => eventually(() => tryToFreeze(sql, pid))))
  } catch (error) {
    frozen[Symbol.dispose]()
    throw error
  }
  return frozen
}

const tryToFreeze = async (sql: postgres.Sql, pid: number) => {
  process.kill(pid, 'SIGSTOP')
  const waits = sql`
    select from pg_stat_activity where pid = ${pid} and wait_event = 'ClientRead'`.then(
    rows => rows.length > 0,
    () => false,
  )
  // It may hold up the question, too.
  if (await Promise.race([waits, Bun.sleep(500).then(() => false)])) return true
  process.kill(pid, 'SIGCONT')
  return false
}

const thaw = (pid: number) => {
  try {
    process.kill(pid, 'SIGCONT')
  } catch {
    // It has ended: its client gave it up.
  }
}
