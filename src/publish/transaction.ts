/** A row of an answer. */
export type Row = Record<string, unknown>

/** A transaction of postgres.js or of Bun's SQL. */
type TaggedTransaction = { unsafe(sql: string, parameters: never): PromiseLike<unknown> }
/** A transaction of Drizzle. Drizzle asks what it executes for its SQL. */
type DrizzleTransaction = { execute(query: never): PromiseLike<unknown> }
/** A transaction of Kysely. */
type KyselyTransaction = { executeQuery(query: never): PromiseLike<unknown> }
/** A client of pg, after `begin`. */
type PgClient = { query(sql: string, parameters: never): PromiseLike<unknown> }

/** An open transaction of the application's. */
export type Transaction = TaggedTransaction | DrizzleTransaction | KyselyTransaction | PgClient

/**
 * Runs a statement in a transaction of the application's. The library is known by what its transactions can do, and
 * parameters stay parameters. Throws a TypeError for anything else, and the error of the driver.
 */
export const runIn = async (
  tx: Transaction,
  sql: string,
  parameters: readonly (string | null)[],
): Promise<Row[]> => {
  // A copy: drivers keep what they get.
  const answer = await send(tx, sql, [...parameters])
  const rows = Array.isArray(answer) ? answer : isObject(answer) ? answer.rows : null
  if (Array.isArray(rows) && rows.every(isObject)) return rows
  throw new TypeError('The transaction gave no rows: is it of a database client that is known?')
}

const send = (tx: unknown, sql: string, parameters: (string | null)[]): unknown => {
  const call = (name: string, ...values: unknown[]) => {
    const method: unknown = Reflect.get(Object(tx), name)
    return typeof method === 'function' ? { answer: method.apply(tx, values) } : null
  }
  const sent =
    call('unsafe', sql, parameters) ??
    // Before `execute`, which Kysely's transactions do not have, and before `query`, which Drizzle uses for models.
    call('executeQuery', {
      sql,
      parameters,
      query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
      queryId: { queryId: crypto.randomUUID() },
    }) ??
    call('execute', { getSQL: () => ({ toQuery: () => ({ sql, params: parameters }) }) }) ??
    call('query', sql, parameters)
  if (sent) return sent.answer
  throw new TypeError(
    "publishIn takes a transaction of postgres.js, Bun's SQL, Drizzle, Kysely or pg. With another client, call kairan.publish in SQL.",
  )
}

const isObject = (value: unknown): value is Row => typeof value === 'object' && value !== null
