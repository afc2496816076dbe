/**
 * Finds the role level of a user; 0 for one whom nobody has given any. `atOnce` is how many may be asked for
 * at the same time without delaying others: 4 when it is not said.
 */
export type LevelOf = ((userId: string) => Promise<number>) & { readonly atOnce?: number }

/** ROLE_LEVEL_QUERY, when it is not set. */
export const defaultRoleLevelQuery = 'select role_level from kairan.roles where user_id = $1'
