import type { Sql } from './connect.ts'
import grants from './grants.sql' with { type: 'text' }

/**
 * Makes the roles of Kairan where the login may, and gives each what it needs in the schema: see
 * grants.sql. Does nothing for a login that does not own the schema. Resolves with what the operator
 * should know; null when all is as it should be. `begin` is the SQL that begins a transaction.
 */
export const grantRoles = async (sql: Sql, begin: string): Promise<string | null> => {
  try {
    await sql.unsafe(`${begin} ${grants}; commit;`)
  } catch (error) {
    await sql.unsafe('rollback')
    throw error
  }
  const rows = await sql<{ name: string }[]>`
    select name
    from pg_catalog.jsonb_array_elements_text(${sql.json(roles)}) name, pg_catalog.pg_namespace n
    where n.nspname = 'kairan' and pg_catalog.pg_has_role(n.nspowner, 'usage') and pg_catalog.to_regrole(name) is null`
  if (rows.length === 0) return null
  return (
    `This login may not create roles (CREATEROLE), so there is no ${rows.map(({ name }) => name).join(', ')}. ` +
    'Only its own login can use the schema kairan, and those that you grant something by hand.'
  )
}

const roles = [
  'kairan_owner',
  'kairan_service',
  'kairan_publisher',
  'kairan_reader',
  'kairan_follower',
]
