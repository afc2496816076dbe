import postgres from 'postgres'
import type { Sql } from './connect.ts'
import type { Database } from './database.ts'

/** So many rows go into one statement, unless those of the one before took too long or could not be written. */
const rowsAtOnce = 5000
/** Not fewer, after statements that took too long. */
const leastAtOnce = 50
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

/**
 * Rows that are written together by `save`, and stay until they are. After a failure fewer go into one statement. A row
 * that Postgres refuses for what is in it, also when it is alone, is given up, so that it does not hold up the others;
 * `write` then rejects with what Postgres says of it.
 */
export const createBatch = <Row>(database: Database, save: Save<Row>): Batch<Row> => {
  let rows: Row[] = []
  const counts = { waiting: 0, dropped: 0 }
  /** How often it was cleared: rows that are being written then are not kept either. */
  let generation = 0
  let atOnce = rowsAtOnce

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
      let refusal: unknown = null
      let size = atOnce
      try {
        while (left.length > 0 && current === generation) {
          const some = left.slice(0, size)
          try {
            kept.push(...(await database.run(sql => save(sql, some))))
            atOnce = Math.min(atOnce * 2, rowsAtOnce)
            size = Math.min(size * 2, atOnce)
          } catch (error) {
            if (!isAboutRows(error)) {
              atOnce = Math.max(Math.ceil(some.length / 2), leastAtOnce)
              throw error
            }
            size = Math.ceil(some.length / 2)
            if (some.length > 1) continue
            refusal = error
            counts.dropped++
          }
          left = left.slice(some.length)
        }
        if (current !== generation) return 0
        if (refusal !== null) throw refusal
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

/**
 * Whether it is what a row has in it that Postgres refuses, and not the moment. SQLSTATE classes: data exception,
 * integrity constraint violation, program limit exceeded.
 */
const isAboutRows = (error: unknown) =>
  error instanceof postgres.PostgresError && /^(22|23|54)/.test(error.code)

/** Writes rows, and resolves with those that have to wait. */
export type Save<Row> = (sql: Sql, rows: Row[]) => PromiseLike<Row[]>
