import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createBatch, type Save } from '../postgres/batch.ts'
import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import type { Handover, Receipts } from './receipts.ts'

/**
 * Writes to `kairan.handovers` in batches, `delayMs` after the first: thousands who come back at once
 * are a few statements. What can't be written is tried again after `retryMs`, and bounded: it is a
 * receipt that is lost, no event.
 */
export const createReceipts = (options: {
  database: Database
  delayMs: number
  retryMs: number
  report: Report
}): Receipts & { flush(): Promise<void> } => {
  const { database, report } = options
  const batch = createBatch(record)
  let timer: ReturnType<typeof setTimeout> | null = null
  let writing: Promise<void> = Promise.resolve()

  const schedule = (ms = options.delayMs) => {
    timer ??= setTimeout(() => void flush(), ms)
  }

  const flush = () => {
    if (timer) clearTimeout(timer)
    timer = null
    writing = writing.then(write)
    return writing
  }

  const write = async () => {
    try {
      await batch.write(database)
    } catch (error) {
      const facts = { error: messageOf(error), ...batch.counts }
      report.warn(facts, 'Receipts could not be written: trying again.')
      schedule(options.retryMs)
    }
  }

  return {
    ended(handover) {
      batch.add(handover)
      schedule()
    },
    returned(userId, seq) {
      batch.add({ userId, since: seq, seq })
      schedule()
    },
    async confirm({ userId, channels }, ids) {
      await runForClient(
        database,
        sql => sql`
          select kairan.confirm(
            ${userId}, array(select jsonb_array_elements_text(${sql.json([...channels])})), ${sql.json(ids)}
          )`,
      )
    },
    flush,
  }
}

type Row = Handover | { userId: string; since: number; seq: number }

const record: Save<Row> = async (sql, rows) => {
  await sql`select kairan.record_handovers(${sql.json(rows)})`
  return []
}
