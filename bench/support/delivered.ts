import type { Sql } from '../../src/postgres/connect.ts'
import { eventually } from '../../test/support/eventually.ts'

/** Waits until every delivery has been numbered and its status has been written. */
export const allDelivered = (sql: Sql, limitMs = 60_000) =>
  eventually(async () => {
    const [row] = await sql<{ done: boolean }[]>`
      select not exists (select from kairan.unnumbered())
        and not exists (select from kairan.numbered where status = 'p') as done`
    return row?.done
  }, limitMs)
