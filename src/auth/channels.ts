import { KairanError } from '../lib/errors.ts'
import { limits } from '../lib/limits.ts'

export const everyone = 'all-users'
export const admins = 'admin-dashboard'

/** The channel of one user. */
export const channelOf = (userId: string) => `user-${userId}`

/**
 * Whether this is a valid user id: 1 to 200 characters, none of them a space, a comma (which separates
 * `?channels=`) or a control character. `kairan.is_channel` has the same rule in SQL.
 */
export const isUserId = (value: unknown): value is string =>
  typeof value === 'string' && userId.test(value) && value.isWellFormed()

/** Whether this is the name of a channel. */
export const isChannel = (name: unknown): name is string =>
  name === everyone ||
  name === admins ||
  (typeof name === 'string' && name.startsWith('user-') && isUserId(name.slice(5)))

/** All channels that a user may read. */
export const readableChannels = (userId: string, roleLevel: number, adminRoleLevel: number) =>
  roleLevel >= adminRoleLevel
    ? [channelOf(userId), everyone, admins]
    : [channelOf(userId), everyone]

/** Reads `?channels=a,b`. Throws `bad_channels` when it names nothing. */
export const parseChannels = (asked: string) => {
  const names = [...new Set(asked.split(',').map(name => name.trim()))].filter(Boolean)
  if (names.length > 0) return names
  throw new KairanError('bad_channels', 'channels is empty. Leave it out to read all that you may.')
}

/**
 * The channels of a stream: the requested ones, or all that its user may read. Throws `channel_forbidden` when the
 * user may not read a requested one.
 */
export const chooseChannels = (readable: string[], asked: readonly string[] | undefined) => {
  const forbidden = asked?.find(name => !readable.includes(name))
  if (forbidden === undefined) return asked ?? readable
  throw new KairanError(
    'channel_forbidden',
    `You may not read the channel "${forbidden.slice(0, 250)}". You may read ${readable.join(', ')}.`,
  )
}

const userId = new RegExp(`^[^\\u0000-\\u0020\\u007f,]{1,${limits.userId}}$`, 'u')
