/** Finds the role level of a user; 0 for one whom nobody has given any. */
export type LevelOf = (userId: string) => Promise<number>

/** ROLE_LEVEL_QUERY, when it is not set. */
export const defaultRoleLevelQuery = 'select role_level from kairan.roles where user_id = $1'
