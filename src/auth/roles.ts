/**
 * Looks up the role level of a user; 0 for a user without one. `atOnce` is how many lookups may run at the same time
 * without delaying others: 4 by default.
 */
export type LevelOf = ((userId: string) => Promise<number>) & { readonly atOnce?: number }

/** The default of ROLE_LEVEL_QUERY. */
export const defaultRoleLevelQuery = 'select role_level from kairan.roles where user_id = $1'
