/** The table is the oracle: what the readers of a run saw is compared with it. */
import postgres from 'postgres'
import { eventually } from '../support/eventually.ts'
import type { Reader } from './reader.ts'

/** A delivery as the table has it. */
export type Row = { seq: number; id: string; channel: string }

const readRows = (sql: postgres.Sql) => sql<Row[]>`
  select seq::float8 as seq, notification_id as id, channel from kairan.deliveries order by seq nulls last`

/**
 * Tells whether some reader lacks what is before the last that it has, and was so at the look before. Each is sent its
 * events in order, so it will not come.
 */
export const createLookout = (url: string, readers: Reader[]) => {
  const backoff = () => 0.05
  const sql = postgres(url, { max: 1, onnotice: () => undefined, connect_timeout: 2, backoff })
  let before: readonly Row[] = []
  return {
    async hasMissed() {
      const found = readers.some(reader => missedBy(reader, before, lastOf(reader)).length > 0)
      // Postgres may be away.
      before = (await readRows(sql).catch(() => before)).filter(({ seq }) => seq !== null)
      return found
    },
    [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }),
  }
}

/** Waits until everything is numbered and every reader is at the end of what is for it; not for ever. */
export const waitForAll = async (
  url: string,
  readers: Reader[],
  { settleMs = 60_000, untilMissed = false }: { settleMs?: number; untilMissed?: boolean },
): Promise<Row[]> => {
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  try {
    await eventually(async () => (await readRows(sql)).every(({ seq }) => seq !== null), 60_000)
    const rows = await readRows(sql)
    // Worked out once: asked again and again, it would take a core from the services.
    const goals = readers.map(reader => ({ reader, last: rowsFor(rows, reader).at(-1)?.seq ?? 0 }))
    const isDone = async () => {
      if (goals.every(({ reader, last }) => lastOf(reader) >= last)) return true
      // What comes after it shows that the last one was missed.
      if (untilMissed) await sql`select kairan.publish('all-users', '{}'), pg_sleep(0.2)`
      return false
    }
    await eventually(isDone, settleMs).catch(() => undefined)
    return [...rows]
  } finally {
    await sql.end({ timeout: 1 })
  }
}

const lastOf = ({ seen }: Reader) => seen.at(-1)?.seq ?? 0

const rowsFor = (rows: readonly Row[], { user }: Reader) =>
  rows.filter(({ channel }) => channel === `user-${user}` || channel === 'all-users')

/** What a reader has not seen of the rows up to this one. */
const missedBy = (reader: Reader, rows: readonly Row[], last = Infinity) => {
  const seqs = new Set(reader.seen.map(({ seq }) => seq))
  return rowsFor(rows, reader).filter(({ seq }) => seq <= last && !seqs.has(seq))
}

/** Counts in what the readers saw something else than the table has. */
export const compare = (rows: Row[], readers: Reader[]) => {
  const known = new Map(rows.map(({ seq, id }) => [seq, id]))
  const result = { missed: 0, duplicated: 0, outOfOrder: 0, ghosts: 0, gaps: 0 }
  for (const reader of readers) {
    const seqs = new Set(reader.seen.map(({ seq }) => seq))
    result.missed += missedBy(reader, rows).length
    result.duplicated += reader.seen.length - seqs.size
    result.outOfOrder += reader.seen.filter(
      ({ seq }, index) => seq < (reader.seen[index - 1]?.seq ?? 0),
    ).length
    result.ghosts += reader.seen.filter(({ seq, id }) => known.get(seq) !== id).length
    result.gaps += reader.gaps.length
  }
  return result
}
