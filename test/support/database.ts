import postgres from 'postgres'

export type TestDatabase = AsyncDisposable & {
  url: string
  /** A plain client, as a program that publishes would have one. */
  sql: postgres.Sql
}

/** A new, empty database on the server of TEST_DATABASE_URL. It is dropped at the end of the scope. */
export const database = async (): Promise<TestDatabase> => {
  const server = process.env.TEST_DATABASE_URL
  if (!server) throw new Error('Run the tests with `bun run test [file …]`: it starts Postgres.')
  const name = `kairan_test_${crypto.randomUUID().slice(0, 8)}`
  const admin = postgres(server, { max: 1, onnotice: () => undefined })
  await admin.unsafe(`create database ${name}`)
  const url = Object.assign(new URL(server), { pathname: `/${name}` }).toString()
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
