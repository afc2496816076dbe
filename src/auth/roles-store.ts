import { connect } from '../postgres/connect.ts'

/**
 * Sets the role level of a user over a connection of its own, and notes it in the audit trail. Rejects with an error
 * that says what to do, or with the driver's.
 */
export const saveRoleLevel = async (url: string, userId: string, roleLevel: number) => {
  const sql = connect(url, { max: 1, name: 'kairan role' })
  try {
    await sql`
      with noted as (
        insert into kairan.audit (actor, action, target, detail)
        select 'command:' || session_user, 'role', ${userId}, jsonb_build_object(
          'before', (select role_level from kairan.roles where user_id = ${userId}),
          'after', ${roleLevel}::int
        )
      )
      insert into kairan.roles (user_id, role_level) values (${userId}, ${roleLevel})
      on conflict (user_id) do update set role_level = excluded.role_level`
  } catch (error) {
    const remedy = error instanceof Error && 'code' in error ? remedies[String(error.code)] : null
    throw remedy ? new Error(remedy, { cause: error }) : error
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** By SQLSTATE. */
const remedies: Record<string, string> = {
  '42P01': 'This database has no table kairan.roles or kairan.audit: run `kairan migrate` first.',
  '3F000': 'This database has no schema kairan: run `kairan migrate` first.',
  '42501':
    'The login of DATABASE_URL may not set role levels. Run this with that of the owner, as `kairan migrate`: a login that serves changes no roles.',
}
