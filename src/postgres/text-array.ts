import type { Sql } from './connect.ts'

/** Texts as an array of Postgres. The driver has no array parameters, so they go as JSON. */
export const textArray = (sql: Sql, values: readonly string[]) =>
  sql`array(select jsonb_array_elements_text(${sql.json([...values])}))`
