import postgres from 'postgres'
import { backoffMs } from '../lib/backoff.ts'
import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { connect } from './connect.ts'
import { migrate } from './migrate.ts'
import { NotPrimaryError } from './primary.ts'
import { mostPauseMs, UnreachableError } from './socket.ts'
import { TlsError } from './tls.ts'

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
    const slow = setTimeout(() => report.warn({}, 'The database is slow to answer.'), slowMs)
    try {
      const applied = await migrate(databaseUrl, note => report.warn({}, note))
      if (applied.length > 0) report.info({ applied }, 'The schema kairan is up to date.')
      await writeSettings(databaseUrl, maxEventBytes)
      return
    } catch (error) {
      if (!isPassing(error)) throw error
      if (attempt === 0) report.warn({ error: messageOf(error) }, 'Waiting for the database.')
      await Bun.sleep(backoffMs(attempt + 1, mostPauseMs))
    } finally {
      clearTimeout(slow)
    }
  }
}

/** A start that takes longer than this says so: it may wait for a lock, or for a server that is frozen. */
const slowMs = 5000

const writeSettings = async (url: string, maxEventBytes: number) => {
  const sql = connect(url, { max: 1, name: 'kairan start' })
  try {
    await sql`select pg_catalog.setval('kairan.max_event_bytes', ${maxEventBytes})`
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/**
 * Whether it may work later. Postgres' own refusals have a SQLSTATE; of those, the classes 08
 * (connection), 40 (a deadlock with another start), 53 (resources), 57 (shutting down, starting up), locks
 * that others hold and a server that is read-only now pass. What has any other code comes from the network.
 * By class and never by name: the compiled program's classes have other names.
 */
const isPassing = (error: unknown) => {
  if (error instanceof postgres.PostgresError) return passing.test(error.code)
  if (error instanceof TlsError || !(error instanceof Error)) return false
  if (error instanceof UnreachableError || error instanceof NotPrimaryError) return true
  return 'code' in error && error.code !== 'SASL_SIGNATURE_MISMATCH'
}

/** 08P01 is a pooler that does not take a setting of the URL, say: waiting changes nothing. */
const passing = /^(08(?!P01)|40|53|57|55P03|25006)/
