import { jwt } from '@elysiajs/jwt'
import type { JWTVerifyGetKey } from 'jose'
import { KairanError } from '../lib/errors.ts'
import type { Identity } from './identity.ts'
import { createOriginGuard, type OriginGuard } from './origins.ts'
import { rememberTokens } from './token-cache.ts'
import { createTokenCheck } from './tokens.ts'

export type { Identity } from './identity.ts'

/** Claims of a token besides `sub`, `exp`, `iss` and `aud`. */
export type Claims = Record<string, unknown>

export type Auth = {
  /**
   * Identifies the user of a request by the token in its Authorization header, or else in its cookie. Throws
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
  const check = rememberTokens(createTokenCheck({ ...options, keys }))

  return {
    async identify(request) {
      const header = request.headers.get('authorization')
      if (header !== null) return check(bearerOf(header))
      const token = new Bun.CookieMap(request.headers.get('cookie') ?? '').get(options.cookie)
      if (!token) {
        throw new KairanError(
          'token_missing',
          `Send a token: as "Authorization: Bearer …", or in the cookie ${options.cookie}.`,
        )
      }
      // Browsers add the cookie to requests of any page, so the origin is checked first.
      guard(request)
      return check(token)
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

const bearerOf = (header: string) => {
  const [, token] = /^Bearer +([\w.~+/=-]+)$/i.exec(header) ?? []
  if (token) return token
  throw new KairanError('token_invalid', 'Authorization has to be "Bearer" and a token.')
}
