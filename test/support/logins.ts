import postgres from 'postgres'

export type Login = AsyncDisposable & { name: string; url: string; sql: postgres.Sql }

/** A new login that is a member of these roles. It is dropped at the end of the scope, with everything it owns. */
export const login = async (
  db: { url: string; sql: postgres.Sql },
  ...groups: string[]
): Promise<Login> => {
  const name = `kairan_test_${crypto.randomUUID().slice(0, 8)}`
  await db.sql.unsafe(`create role ${name} login password 'secret'`)
  for (const group of groups) await db.sql.unsafe(`grant ${group} to ${name}`)
  const url = Object.assign(new URL(db.url), { username: name, password: 'secret' }).toString()
  const sql = postgres(url, { max: 3, onnotice: () => undefined })
  return {
    name,
    url,
    sql,
    async [Symbol.asyncDispose]() {
      await sql.end({ timeout: 1 })
      await db.sql.unsafe(`drop owned by ${name} cascade; drop role ${name}`)
    },
  }
}

/** The SQLSTATE with which a statement fails; null when it succeeds. */
export const stateOf = async (work: PromiseLike<unknown>): Promise<string | null> => {
  try {
    await work
    return null
  } catch (error) {
    if (error instanceof postgres.PostgresError) return error.code
    throw error
  }
}

/** SQLSTATE insufficient_privilege. */
export const denied = '42501'
