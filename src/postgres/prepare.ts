import { backoffMs } from '../lib/backoff.ts'
import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { connect, mostPauseMs } from './connect.ts'
import { migrate } from './migrate.ts'

/**
 * Brings the schema up to date and tells it the settings that publishing has to know. Waits, and tries
 * again, while the database can't be reached; rejects when it answers but refuses.
 */
export const prepare = async (
  { databaseUrl, maxEventBytes }: { databaseUrl: string; maxEventBytes: number },
  report: Report,
  isStopped: () => boolean,
) => {
  for (let attempt = 0; !isStopped(); attempt++) {
    try {
      const applied = await migrate(databaseUrl, note => report.warn({}, note))
      if (applied.length > 0) report.info({ applied }, 'The schema kairan is up to date.')
      await writeSettings(databaseUrl, maxEventBytes)
      return
    } catch (error) {
      if (!isPassing(error)) throw error
      if (attempt === 0) report.warn({ error: messageOf(error) }, 'Waiting for the database.')
      await Bun.sleep(backoffMs(attempt + 1, mostPauseMs))
    }
  }
}

const writeSettings = async (url: string, maxEventBytes: number) => {
  const sql = connect(url, { max: 1, name: 'kairan start' })
  try {
    await sql`select setval('kairan.max_event_bytes', ${maxEventBytes})`
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/**
 * Whether it may work later. Postgres' own refusals have a SQLSTATE; of those, the classes 08
 * (connection), 53 (resources) and 57 (shutting down, starting up) pass. Everything else that has a code
 * comes from the network.
 */
const isPassing = (error: unknown) => {
  if (!(error instanceof Error) || !('code' in error)) return false
  const code = String(error.code)
  return error.name !== 'PostgresError' || /^(08|53|57)/.test(code)
}
