import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createWorkLoop } from '../lib/work-loop.ts'
import { createBatch, type Save } from '../postgres/batch.ts'
import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import { textArray } from '../postgres/text-array.ts'
import type { Receipts, Taken } from './receipts.ts'

/**
 * Writes to `kairan.unconfirmed` in batches, `delayMs` after the first record, so that thousands of clients that
 * reconnect at once cost a few statements. A write that fails is repeated after `retryMs`. The number of records that
 * wait is bounded: beyond it receipts are lost, but no events.
 */
export const createReceipts = (options: {
  database: Database
  delayMs: number
  retryMs: number
  report: Report
}): Receipts & { stop(): Promise<void> } => {
  const { database, report } = options
  const batch = createBatch(database, record)
  const loop = createWorkLoop({
    work: batch.write,
    failed(error) {
      const facts = { error: messageOf(error), ...batch.counts }
      report.warn(facts, 'Receipts could not be written: trying again.')
    },
    delayMs: options.delayMs,
    retryMs: options.retryMs,
  })

  return {
    ended(taken) {
      batch.add(taken)
      loop.schedule()
    },
    returned(userId, seq) {
      batch.add({ userId, since: seq, seq })
      loop.schedule()
    },
    async confirm({ userId, channels, only }, ids) {
      await runForClient(
        database,
        sql => sql`
          select kairan.confirm(
            ${userId}, ${textArray(sql, only ?? channels)}, ${sql.json(ids)}
          )`,
      )
    },
    async stop() {
      await loop.stop()
      await loop.flush()
    },
  }
}

type Row = Taken | { userId: string; since: number; seq: number }

const record: Save<Row> = async (sql, rows) => {
  await sql`select kairan.record_unconfirmed(${sql.json(newestOf(rows))})`
  return []
}

/** A user's records beyond these are older ones. `kairan.record_unconfirmed` keeps as many. */
const mostOfUser = 20

/** The newest records of each user: a user who reconnects all the time does not make a write of any size. */
const newestOf = (rows: Row[]) => {
  const counts = new Map<string, number>()
  return rows
    .toReversed()
    .filter(row => {
      const kind = `${'channels' in row} ${row.userId}`
      const count = (counts.get(kind) ?? 0) + 1
      counts.set(kind, count)
      return count <= mostOfUser
    })
    .toReversed()
}
