import { KairanError } from './errors.ts'

export const everyone = 'all-users'
export const admins = 'admin-dashboard'

/** The channel of one user. */
export const channelOf = (userId: string) => `user-${userId}`

/**
 * Whether this can be a user's id: 1 to 200 characters, none of them a space, a comma (it separates
 * `?channels=`) or a control character. `kairan.is_channel` says the same in SQL.
 */
export const isUserId = (value: unknown): value is string =>
  typeof value === 'string' && userId.test(value) && value.isWellFormed()

/** Whether this names a channel. */
export const isChannel = (name: unknown): name is string =>
  name === everyone ||
  name === admins ||
  (typeof name === 'string' && name.startsWith('user-') && isUserId(name.slice(5)))

/** All channels that a user may read. */
export const readableChannels = (userId: string, roleLevel: number, adminRoleLevel: number) =>
  roleLevel >= adminRoleLevel
    ? [channelOf(userId), everyone, admins]
    : [channelOf(userId), everyone]

/**
 * The channels of a stream: what its user may read, narrowed to what `?channels=` asks for.
 * Throws `bad_channels` when it asks for nothing, `channel_forbidden` when for one too many.
 */
export const chooseChannels = (readable: string[], asked: string | undefined) => {
  if (asked === undefined) return readable
  const names = [...new Set(asked.split(',').map(name => name.trim()))].filter(Boolean)
  if (names.length === 0) {
    throw new KairanError('bad_channels', 'channels is empty: leave it out to read all you may.')
  }
  const forbidden = names.find(name => !readable.includes(name))
  if (forbidden !== undefined) {
    throw new KairanError(
      'channel_forbidden',
      `You may not read the channel "${forbidden.slice(0, 250)}". You may read ${readable.join(', ')}.`,
    )
  }
  return names
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses.
const userId = /^[^\u0000-\u0020\u007f,]{1,200}$/u
