import { connect } from '../postgres/connect.ts'

/** Sets the role level of a user over a connection of its own, and notes it in the audit trail. Rejects with the driver's error. */
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
    if (error instanceof Error && 'code' in error && error.code === undefinedTable) {
      error.message =
        'This database has no table kairan.roles or kairan.audit: run `kairan migrate` first.'
    }
    throw error
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** SQLSTATE. */
const undefinedTable = '42P01'
