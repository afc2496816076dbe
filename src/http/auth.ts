import { jwt } from '@elysiajs/jwt'
import { isUserId } from '../channels.ts'
import { KairanError } from '../errors.ts'

/** Who makes a request: the `sub` of a valid token, and when that token ends (Unix seconds). */
export type Identity = { userId: string; expiresAt: number }

export type Auth = {
  /**
   * Finds who makes a request, by the token of its Authorization header, or else of its cookie.
   * Throws `token_missing`, `token_invalid` or `token_expired`.
   */
  identify(request: Request): Promise<Identity>
  /** Signs a token for a user that is valid for `seconds`. */
  sign(userId: string, seconds: number): Promise<string>
}

/** Checks HS256 tokens with any of the secrets; signs with the first. */
export const createAuth = (options: {
  secrets: string[]
  issuer: string | null
  audience: string | null
  cookie: string
}): Auth => {
  const keys = options.secrets.map(secret => jwt({ name: 'jwt', secret }).decorator.jwt)
  // What the plugin is told of algorithms and claims holds for signing only: verify needs it too.
  const rules = {
    algorithms: ['HS256'],
    requiredClaims: ['exp', 'sub'],
    ...(options.issuer === null ? {} : { issuer: options.issuer }),
    ...(options.audience === null ? {} : { audience: options.audience }),
  }

  const verify = async (token: string) => {
    for (const key of keys) {
      const claims = await key.verify(token, rules)
      if (claims) return claims
    }
    return null
  }

  return {
    async identify(request) {
      const token = tokenOf(request, options.cookie)
      const claims = await verify(token)
      if (!claims) throw refusal(token)
      const { sub, exp } = claims
      if (!isUserId(sub) || typeof exp !== 'number') {
        throw new KairanError(
          'token_invalid',
          'The sub of the token is no user id: 1 to 200 characters without spaces, commas and control characters.',
        )
      }
      return { userId: sub, expiresAt: exp }
    },
    async sign(userId, seconds) {
      const [key] = keys
      if (!key) throw new Error('There is no secret to sign with')
      const exp = Math.floor(Date.now() / 1000) + seconds
      return key.sign({
        sub: userId,
        exp,
        ...(options.issuer === null ? {} : { iss: options.issuer }),
        ...(options.audience === null ? {} : { aud: options.audience }),
      })
    },
  }
}

const tokenOf = (request: Request, cookieName: string) => {
  const header = request.headers.get('authorization')
  if (header !== null) {
    const [, token] = /^Bearer +([\w.~+/=-]+)$/i.exec(header) ?? []
    if (token) return token
    throw new KairanError('token_invalid', 'Authorization has to be "Bearer" and a token.')
  }
  const cookies = new Bun.CookieMap(request.headers.get('cookie') ?? '')
  const token = cookies.get(cookieName)
  if (token) return token
  throw new KairanError(
    'token_missing',
    `Send a token: as "Authorization: Bearer …", or in the cookie ${cookieName}.`,
  )
}

/** The plugin says no more than "no". For an honest token that is too old, the reason helps. */
const refusal = (token: string) => {
  const expired = expiryOf(token) <= Date.now() / 1000
  return expired
    ? new KairanError('token_expired', 'The token has expired: sign in again.')
    : new KairanError(
        'token_invalid',
        'The token is not valid here: it needs the HS256 signature, sub and exp that this service checks.',
      )
}

const expiryOf = (token: string) => {
  try {
    const claims: unknown = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString(),
    )
    return typeof claims === 'object' && claims !== null && 'exp' in claims
      ? Number(claims.exp)
      : Number.NaN
  } catch {
    return Number.NaN
  }
}
