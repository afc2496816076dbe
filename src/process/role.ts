import { isUserId } from '../auth/channels.ts'
import { saveRoleLevel } from '../auth/roles-store.ts'

export const roleUsage = 'Usage: kairan role 42 100'

/**
 * The command `kairan role`: sets the role level of a user in `kairan.roles`, and resolves with a sentence that says
 * so. It takes effect on open streams at once. Throws an Error whose message says what is wrong.
 */
export const setRole = async (options: string[], databaseUrl: string): Promise<string> => {
  const [userId, level, ...more] = options
  if (!isUserId(userId) || more.length > 0) {
    throw new Error(`It takes a user id and a role level.\n${roleUsage}`)
  }
  const roleLevel = Number(level)
  if (!/^-?\d+$/.test(level ?? '') || Math.abs(roleLevel) >= 2 ** 31) {
    throw new Error(`The role level "${level ?? ''}" has to be a whole number.\n${roleUsage}`)
  }
  await saveRoleLevel(databaseUrl, userId, roleLevel)
  return `The role level of ${userId} is ${roleLevel}.`
}
