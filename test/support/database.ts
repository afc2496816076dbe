import postgres from 'postgres'
import { migrate } from '../../src/postgres/migrate.ts'

export type TestDatabase = AsyncDisposable & {
  url: string
  /** A plain client, like that of a program that publishes. */
  sql: postgres.Sql
}

/**
 * A new database on the server of TEST_DATABASE_URL, with the schema kairan unless it has to be empty. It is a copy of
 * the one that `test/run.ts` has migrated, if there is one. It is dropped at the end of the scope.
 */
export const database = async ({ empty = false } = {}): Promise<TestDatabase> => {
  const { TEST_DATABASE_URL: server, TEST_TEMPLATE: template } = process.env
  if (!server) throw new Error('Run the tests with `bun run test [file …]`: it starts Postgres.')
  const name = `kairan_test_${crypto.randomUUID().slice(0, 8)}`
  const admin = postgres(server, { max: 1, onnotice: () => undefined })
  await admin.unsafe(`create database ${name}${template && !empty ? ` template ${template}` : ''}`)
  const url = Object.assign(new URL(server), { pathname: `/${name}` }).toString()
  if (!template && !empty) await migrate(url)
  const sql = postgres(url, { max: 20, onnotice: () => undefined })
  return {
    url,
    sql,
    async [Symbol.asyncDispose]() {
      await sql.end({ timeout: 1 })
      await admin.unsafe(`drop database ${name} with (force)`)
      await admin.end()
    },
  }
}
