import type { LevelOf } from '../roles.ts'
import type { Database } from './database.ts'

/** Looks up role levels with a query of the operator's. */
export const createRoles = (database: Database, query: string): LevelOf => {
  const ask = (userId: string) =>
    database.run(async sql => {
      const [row] = await sql.unsafe<Record<string, unknown>[]>(query, [userId])
      return row ? Number(Object.values(row)[0]) || 0 : 0
    })
  return async userId => {
    try {
      return await ask(userId)
    } catch (error) {
      // Their ids may be numbers, and this one is none: then it is nobody's.
      if (isDataException(error)) return 0
      throw error
    }
  }
}

/** SQLSTATE class 22: the value does not fit the column that it is compared with. */
const isDataException = (error: unknown) =>
  error instanceof Error && 'code' in error && String(error.code).startsWith('22')
