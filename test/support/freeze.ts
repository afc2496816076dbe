import type postgres from 'postgres'
import { eventually } from './eventually.ts'

/**
 * Stops a backend of Postgres where it waits for its client, so that it holds no lock. One that is stopped elsewhere may
 * hold up all databases of the server, those of other tests included. Rejects when there is no such process.
 */
export const freezeBackend = (sql: postgres.Sql, pid: number) =>
  eventually(async () => {
    process.kill(pid, 'SIGSTOP')
    const waits = sql`
      select from pg_stat_activity where pid = ${pid} and wait_event = 'ClientRead'`.then(
      rows => rows.length > 0,
      () => false,
    )
    // What it may hold up is the question as well.
    if (await Promise.race([waits, Bun.sleep(500).then(() => false)])) return true
    process.kill(pid, 'SIGCONT')
    return false
  })
