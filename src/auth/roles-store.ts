import { createBatchLookup } from '../lib/batch-lookup.ts'
import { connect } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import { defaultRoleLevelQuery, type LevelOf } from './roles.ts'

/** Looks up role levels: one by one with ROLE_LEVEL_QUERY, or many at once in kairan.roles. */
export const createRoles = (database: Database, query: string): LevelOf => {
  if (query === defaultRoleLevelQuery) {
    const atOnce = 1000
    const gather = createBatchLookup(userIds => levelsOf(database, userIds), atOnce)
    return Object.assign(gather, { atOnce })
  }
  return async userId => {
    try {
      return await ask(database, query, userId)
    } catch (error) {
      // The ids in that table may be numbers. An id that is no number belongs to no user there.
      if (isDataException(error)) return 0
      throw error
    }
  }
}

/** Sets the role level of a user over a connection of its own. Rejects with the driver's error. */
export const saveRoleLevel = async (url: string, userId: string, roleLevel: number) => {
  const sql = connect(url, { max: 1, name: 'kairan role' })
  try {
    await sql`
      insert into kairan.roles (user_id, role_level) values (${userId}, ${roleLevel})
      on conflict (user_id) do update set role_level = excluded.role_level`
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === undefinedTable) {
      error.message = 'This database has no table kairan.roles: run `kairan migrate` first.'
    }
    throw error
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** SQLSTATE. */
const undefinedTable = '42P01'

const levelsOf = async (database: Database, userIds: string[]) => {
  const rows = await database.run(
    sql => sql<{ user_id: string; role_level: number | null }[]>`
      select r.user_id, r.role_level
      from jsonb_array_elements_text(${sql.json(userIds)}) u (id) join kairan.roles r on r.user_id = u.id`,
  )
  const levels = new Map(rows.map(({ user_id, role_level }) => [user_id, role_level ?? 0]))
  return (userId: string) => levels.get(userId) ?? 0
}

const ask = (database: Database, query: string, userId: string) =>
  database.run(async sql => {
    const [row] = await sql.unsafe<Record<string, unknown>[]>(query, [userId])
    return row ? Number(Object.values(row)[0]) || 0 : 0
  })

/** SQLSTATE class 22: the value does not fit the column that it is compared with. */
const isDataException = (error: unknown) =>
  error instanceof Error && 'code' in error && String(error.code).startsWith('22')
