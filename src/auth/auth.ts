import { jwt } from '@elysiajs/jwt'
import type { JWTVerifyGetKey } from 'jose'
import { KairanError } from '../lib/errors.ts'
import type { Identity } from './identity.ts'
import { createOriginGuard, type OriginGuard } from './origins.ts'
import { createTokenCheck } from './tokens.ts'

export type { Identity } from './identity.ts'

/** Claims of a token besides `sub`, `exp`, `iss` and `aud`. */
export type Claims = Record<string, unknown>

export type Auth = {
  /**
   * Identifies the user of a request by the token in its Authorization header, or else in its cookie. A header or a
   * cookie that is not of this service hides none that is. Throws
   * `token_missing`, `token_invalid`, `token_expired`, `origin_forbidden` or `auth_unavailable`.
   */
  identify(request: Request): Promise<Identity>
  /** Signs a token of a user, valid for `seconds`, with further claims. Throws when no secret is set. */
  sign(userId: string, seconds: number, claims?: Claims): Promise<string>
}

/** Verifies tokens with any of the secrets and with the keys. Signs with the first secret. */
export const createAuth = (options: {
  secrets: string[]
  issuer: string | null
  audience: string | null
  cookie: string
  keys?: JWTVerifyGetKey | null
  /** Checks that a page may use the cookie. By default only pages of this service may. */
  guard?: OriginGuard
}): Auth => {
  const { issuer, audience, keys = null, guard = createOriginGuard([]) } = options
  const [secret] = options.secrets
  const check = createTokenCheck({ ...options, keys })

  /** The user of a token; null when it is refused, with the reason in `refusals`. */
  const tryToken = async (token: string, refusals: KairanError[]) => {
    try {
      return await check(token)
    } catch (error) {
      if (!(error instanceof KairanError)) throw error
      refusals.push(error)
      return null
    }
  }

  const nothing = (hasHeader: boolean) =>
    hasHeader
      ? new KairanError('token_invalid', 'Authorization has to be "Bearer" and a token.')
      : new KairanError(
          'token_missing',
          `Send a token: as "Authorization: Bearer …", or in the cookie ${options.cookie}.`,
        )

  return {
    async identify(request) {
      const header = request.headers.get('authorization')
      const refusals: KairanError[] = []
      for (const token of header === null ? [] : bearersOf(header)) {
        const found = await tryToken(token, refusals)
        if (found) return found
      }
      // Of a token that was meant for this service its client has to hear, whatever else there is.
      const own = refusals.find(({ code }) => code !== 'token_invalid')
      if (own) throw own
      if (refusals[0] && !mayBeOfOthers(header)) throw refusals[0]
      const cookies = cookiesOf(request.headers.get('cookie') ?? '', options.cookie)
      if (cookies.length === 0) throw refusals[0] ?? nothing(header !== null)
      // Browsers add the cookie to requests of any page, so the origin is checked first.
      guard(request)
      for (const token of cookies) {
        const found = await tryToken(token, refusals)
        if (found) return found
      }
      throw refusals.toSorted((one, other) => rank(one) - rank(other))[0] ?? nothing(true)
    },
    async sign(userId, seconds, claims = {}) {
      if (!secret) throw new Error('No secret is set to sign with')
      const exp = Math.floor(Date.now() / 1000) + seconds
      return jwt({ name: 'jwt', secret }).decorator.jwt.sign({
        ...claims,
        sub: userId,
        exp,
        ...(issuer === null ? {} : { iss: issuer }),
        ...(audience === null ? {} : { aud: audience }),
      })
    },
  }
}

/**
 * Whether a header that did not identify a user may be of a proxy or of a staging site: it has another scheme, or a
 * JWT of another issuer. Nobody but its client sends anything else.
 */
export const mayBeOfOthers = (header: string | null) =>
  bearersOf(header ?? '').every(token => token.split('.').length === 3)

/** Of several reasons the one that tells a client most: try again, get a new token, anything else. */
const rank = ({ code }: KairanError) =>
  code === 'auth_unavailable' ? 0 : code === 'token_expired' ? 1 : 2

/**
 * The tokens of an Authorization header. Staging sites and proxies put their own into it, of this scheme or another,
 * and what they add must not hide the cookie.
 */
const bearersOf = (header: string): string[] => {
  const [, only] = /^Bearer ([\w.~+/=-]+)$/i.exec(header) ?? []
  if (only !== undefined) return [only]
  return [...header.matchAll(/(?:^|,\s*)Bearer +([\w.~+/=-]+)\s*(?=,|$)/gi)].flatMap(
    ([, token]) => token ?? [],
  )
}

/**
 * The values of a cookie. A browser sends the same name twice when it was set for two paths or domains, and any of
 * them may be the one that is valid.
 */
const cookiesOf = (header: string, name: string) =>
  header
    .split(';')
    .map(pair => /^\s*([^=]*?)\s*=\s*"?([^"]*?)"?\s*$/.exec(pair))
    .flatMap(pair => (pair?.[1] === name && pair[2] ? [pair[2]] : []))
    .slice(0, mostCookies)

/** Each is checked, which costs a signature. */
const mostCookies = 5
