import { KairanError } from '../lib/errors.ts'
import { isPattern, isUserId, matches } from './channels.ts'

/** The user of a request, as in a valid token. */
export type Identity = {
  /** The `sub`. */
  userId: string
  /** When the token expires, in Unix seconds. */
  expiresAt: number
  /** The channels on which the user may publish: names, or patterns that end in `*`. */
  publishes: readonly string[]
  /** The application's channels that the token lets the user read, in the same form. */
  subscribes: readonly string[]
}

/** The scope that a token needs to publish over HTTP. */
export const publishScope = 'kairan:publish'

/** The claim that narrows publishing to channels. */
const channelsClaim = 'kairan:channels'

/** The claim that lets its user read channels of the application. */
const subscribeClaim = 'kairan:subscribe'

/** Reads the claims of a token with a valid signature. Throws `token_invalid` or `token_expired`. */
export const readIdentity = (claims: Record<string, unknown>): Identity => {
  const { sub, exp } = claims
  if (!isUserId(sub)) {
    throw new KairanError(
      'token_invalid',
      'The sub of the token is no user id: 1 to 200 characters without spaces, commas and control characters.',
    )
  }
  if (typeof exp !== 'number') {
    throw new KairanError(
      'token_invalid',
      'The token has no exp. Only tokens that expire are accepted.',
    )
  }
  // Exact to the second: the streams of a token end when it expires.
  if (exp * 1000 <= Date.now()) throw tokenExpired()
  return {
    userId: sub,
    expiresAt: Math.min(exp, endOfTime),
    publishes: publishable(claims),
    subscribes: namesOf(claims[subscribeClaim]),
  }
}

/** 31 December 9999. SQL and JavaScript cannot write later dates in the same form. */
export const endOfTime = 253_402_300_799

export const tokenExpired = () =>
  new KairanError('token_expired', 'The token has expired: sign in again.')

/** Whether a user may publish on a channel. */
export const mayPublish = ({ publishes }: Identity, channel: string) => matches(channel, publishes)

/** Throws `scope_missing` for a user who may publish on no channel. */
export const requireScope = ({ publishes }: Identity) => {
  if (publishes.length > 0) return
  throw new KairanError('scope_missing', `Publishing needs a token with the scope ${publishScope}.`)
}

const publishable = (claims: Record<string, unknown>): readonly string[] => {
  const isPublisher = [...words(claims.scope), ...words(claims.scp)].includes(publishScope)
  if (!isPublisher) return none
  const channels = claims[channelsClaim]
  return channels === undefined ? ['*'] : namesOf(channels)
}

/** A claim of another form allows nothing, and nor does what can be no name: Postgres would not take some of that. */
const namesOf = (claim: unknown): readonly string[] => {
  const names = Array.isArray(claim) ? claim.filter(isPattern) : none
  return names.length > 0 ? names : none
}

/** Shared: streams keep it. */
const none: readonly string[] = []

/** Reads scopes: separated by spaces (RFC 8693), or as a list, which some identity providers send. */
const words = (scope: unknown): readonly unknown[] =>
  typeof scope === 'string' ? scope.split(' ') : Array.isArray(scope) ? scope : none
