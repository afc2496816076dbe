/** The default of ROLE_LEVEL_QUERY. */
export const defaultRoleLevelQuery = 'select role_level from kairan.roles where user_id = $1'
