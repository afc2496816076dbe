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

/**
 * Whether this can be the name of a channel: 1 to 250 characters, none of them a space, a comma, a `*` or a
 * control character; after `user-` comes a user id. `kairan.is_channel` has the same rule in SQL.
 */
export const isChannel = (name: unknown): name is string =>
  typeof name === 'string' &&
  (name.startsWith('user-')
    ? isUserId(name.slice(5))
    : channelName.test(name) && name.isWellFormed())

/** Whether the application says who reads this channel. The names of the others say it themselves. */
export const isOfApplication = (name: string) =>
  name !== everyone && name !== admins && !name.startsWith('user-') && isChannel(name)

/** Reads `?channels=a,b`, which may be there several times. Throws `bad_channels` when it names nothing. */
export const parseChannels = (asked: readonly string[]) => {
  const names = namesIn(asked)
  if (names.length > 0) return names
  throw new KairanError('bad_channels', 'channels is empty. Leave it out to read all that you may.')
}

/** The different names in lists that are separated by commas; none is checked. */
export const namesIn = (lists: readonly string[]): readonly string[] => {
  if (lists.length === 0) return noNames
  const names = lists.flatMap(list => list.split(',')).map(name => name.trim())
  return [...new Set(names)].filter(Boolean)
}

/** Shared: streams keep it. */
const noNames: readonly string[] = []

/** Whether a name is one of these: names, or beginnings that end in `*`. */
export const matches = (name: string, patterns: readonly string[]) =>
  patterns.some(pattern => (isBeginning(pattern) ? begins(name, pattern) : name === pattern))

/** Whether this is a name of a channel, or a beginning of names that ends in `*`. */
export const isPattern = (value: unknown): value is string =>
  typeof value === 'string' &&
  (isBeginning(value) ? isBeginningOfNames(value.slice(0, -1)) : isChannel(value))

const isBeginningOfNames = (text: string) =>
  text === '' || (channelName.test(text) && text.isWellFormed())

/** Whether this is a beginning that ends in `*`, and not a name. */
export const isBeginning = (pattern: string) => pattern.endsWith('*')

/** A check for membership in a list of names. Long lists are indexed, because streams check each event. */
export const among = (names: readonly string[]): ((name: string) => boolean) => {
  if (names.length <= 8) return name => names.includes(name)
  const set = new Set(names)
  return name => set.has(name)
}

const begins = (name: string, pattern: string) => name.startsWith(pattern.slice(0, -1))

const userId = new RegExp(`^[^\\u0000-\\u0020\\u007f,]{1,${limits.userId}}$`, 'u')
const channelName = new RegExp(`^[^\\u0000-\\u0020\\u007f,*]{1,${limits.channel}}$`, 'u')
