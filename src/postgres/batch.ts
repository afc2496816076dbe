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
  /** Gives up all rows that wait. */
  clear(): void
}

/** Rows that are written together by `save`, and stay until they are. */
export const createBatch = <Row>(database: Database, save: Save<Row>): Batch<Row> => {
  let rows: Row[] = []
  const counts = { waiting: 0, dropped: 0 }
  /** How often it was cleared: rows that are being written then are not kept either. */
  let generation = 0

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
      const current = generation
      let left = rows
      rows = []
      const kept: Row[] = []
      try {
        while (left.length > 0) {
          const some = left.slice(0, rowsAtOnce)
          kept.push(...(await database.run(sql => save(sql, some))))
          left = left.slice(some.length)
          if (current !== generation) return 0
        }
      } finally {
        if (current === generation) rows = kept.concat(left, rows)
        limit()
      }
      return kept.length
    },
    clear() {
      generation++
      rows = []
      counts.waiting = 0
    },
  }
}

/** Writes rows, and resolves with those that have to wait. */
export type Save<Row> = (sql: Sql, rows: Row[]) => PromiseLike<Row[]>
