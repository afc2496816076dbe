import { decodeProtectedHeader, errors, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { KairanError } from '../lib/errors.ts'
import { type Identity, readIdentity, tokenExpired } from './identity.ts'

/** How far the clock of whoever signs may be ahead of ours, in seconds: for nbf only. */
const clockTolerance = 5

/** The signatures that are taken with a public key. Never HS256: the key is no secret. */
const publicAlgorithms = ['RS256', 'ES256', 'EdDSA', 'Ed25519']

export type TokenRules = {
  /** For HS256: any of them may have signed. */
  secrets: readonly string[]
  issuer: string | null
  audience: string | null
  /** Finds public keys for the other algorithms; null when only secrets are used. */
  keys: JWTVerifyGetKey | null
}

/**
 * Reads and checks a token. Which keys may have signed is decided by its algorithm alone, and no key is
 * ever used with two of them: that is what keeps `none` and a public key as an HMAC secret out. Throws
 * `token_invalid`, `token_expired` or `auth_unavailable`.
 */
export const createTokenCheck = (rules: TokenRules): ((token: string) => Promise<Identity>) => {
  const secrets = rules.secrets.map(secret => new TextEncoder().encode(secret))
  const algorithms = [
    ...(secrets.length > 0 ? ['HS256'] : []),
    ...(rules.keys ? publicAlgorithms : []),
  ]
  const claims = {
    requiredClaims: ['exp', 'sub'],
    clockTolerance,
    ...(rules.issuer === null ? {} : { issuer: rules.issuer }),
    ...(rules.audience === null ? {} : { audience: rules.audience }),
  }

  const payloadOf = async (token: string) => {
    const { alg } = decodeProtectedHeader(token)
    if (alg === 'HS256') {
      return firstOf(secrets, secret => jwtVerify(token, secret, { ...claims, algorithms: [alg] }))
    }
    const { keys } = rules
    if (!keys || !alg || !publicAlgorithms.includes(alg)) throw new errors.JOSEAlgNotAllowed()
    const options = { ...claims, algorithms: [alg] }
    try {
      return await jwtVerify(token, keys, options)
    } catch (error) {
      // Without a kid, several keys can fit.
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
      return firstOf(error, key => jwtVerify(token, key, options))
    }
  }

  return async token => {
    try {
      const { payload } = await payloadOf(token)
      return readIdentity(payload)
    } catch (error) {
      throw toRefusal(error, algorithms)
    }
  }
}

/** What the first of these keys with which it verifies gives. */
const firstOf = async <K, T>(
  keys: Iterable<K> | AsyncIterable<K>,
  verify: (key: K) => Promise<T>,
): Promise<T> => {
  for await (const key of keys) {
    try {
      return await verify(key)
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error
    }
  }
  throw new errors.JWSSignatureVerificationFailed()
}

/** The messages of jose name claims, never values: but only those that help are repeated. */
const toRefusal = (error: unknown, algorithms: string[]) => {
  if (error instanceof KairanError) return error
  if (error instanceof errors.JWTExpired) return tokenExpired()
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new KairanError(
      'token_invalid',
      `The token is not for this service, or not yet: its ${error.claim} is missing or not what is asked for here.`,
    )
  }
  return new KairanError(
    'token_invalid',
    `The token is not valid here: it needs a signature by a key that this service knows (${algorithms.join(', ')}), sub and exp.`,
  )
}
