import type { Sql } from './connect.ts'
import type { Database } from './database.ts'

/** So many rows go into one statement. */
const rowsAtOnce = 5000
/** At most so many rows of each kind wait while the database is away; the oldest are given up. */
const maxWaiting = 100_000

/** Rows that wait until they are written together. */
export type Batch<Row> = {
  readonly counts: { waiting: number; dropped: number }
  add(row: Row): void
  /** Resolves with how many rows could not be written now, and are kept. */
  write(): Promise<number>
}

/** Rows that are written together by `save`, and stay until they are. */
export const createBatch = <Row>(database: Database, save: Save<Row>): Batch<Row> => {
  let rows: Row[] = []
  const counts = { waiting: 0, dropped: 0 }

  const limit = () => {
    const excess = rows.length - maxWaiting
    if (excess > 0) {
      rows = rows.slice(excess)
      counts.dropped += excess
    }
    counts.waiting = rows.length
  }

  return {
    counts,
    add(row: Row) {
      rows.push(row)
      counts.waiting++
      if (rows.length > 2 * maxWaiting) limit()
    },
    async write() {
      const kept: Row[] = []
      try {
        for (let left = rows.length; left > 0; ) {
          const some = rows.slice(0, Math.min(left, rowsAtOnce))
          kept.push(...(await database.run(sql => save(sql, some))))
          rows = rows.slice(some.length)
          left -= some.length
        }
      } finally {
        rows = kept.concat(rows)
        limit()
      }
      return kept.length
    },
  }
}

/** Writes rows, and resolves with those that have to wait. */
export type Save<Row> = (sql: Sql, rows: Row[]) => PromiseLike<Row[]>
