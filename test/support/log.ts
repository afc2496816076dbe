import type postgres from 'postgres'

type Sql = postgres.Sql | postgres.TransactionSql

/**
 * Numbers as an instance does, at most about `batch` deliveries. `head` is null, too, when another one is at
 * it.
 */
export const sequence = async (sql: Sql, batch = 1000) => {
  const [row] = await sql`select state from kairan.number(${batch}) limit 1`
  if (!row) throw new Error('kairan.number gave no answer')
  const { assigned, head } = row.state
  return { assigned, head: assigned === null ? null : head }
}

/** Puts the log to `head`, as if everything that is committed had been numbered. */
export const putHead = async (sql: Sql, head: number) => {
  await sql`
    insert into kairan.batches (n, head, done, done_place, place)
    select n + 1, ${head}, pg_current_snapshot(), 0, 0
    from kairan.batches order by n desc limit 1`
}
