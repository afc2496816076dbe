import {
  decodeProtectedHeader,
  errors,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose'
import { KairanError } from '../lib/errors.ts'
import { createHmacCheck } from './hmac.ts'
import { type Identity, readIdentity, tokenExpired } from './identity.ts'
import type { RemoteKeys } from './jwks.ts'
import { rememberTokens } from './token-cache.ts'

/** How far the signer's clock may be ahead of this one, in seconds. Applies to nbf only. */
const clockTolerance = 5

/** The algorithms that are accepted with a public key. HS256 is not among them: a public key is no secret. */
const publicAlgorithms = ['RS256', 'ES256', 'EdDSA', 'Ed25519']

export type TokenRules = {
  /** The secrets for HS256. Any of them may have signed. */
  secrets: readonly string[]
  issuer: string | null
  audience: string | null
  /** Finds the public key of a token; null when only secrets are used. */
  keys: (JWTVerifyGetKey & Partial<RemoteKeys>) | null
}

/** Throws, or rejects. */
export type TokenCheck = (token: string) => Identity | Promise<Identity>

/**
 * Verifies a token and reads its claims. The algorithm alone decides which keys may have signed it, and no key is used
 * with two algorithms. That refuses `none`, and a public key that is used as an HMAC secret. Throws `token_invalid`,
 * `token_expired` or `auth_unavailable`.
 */
export const createTokenCheck = (rules: TokenRules): TokenCheck => {
  // Imported once: jose would import the bytes of a secret again for each token.
  const secrets = Promise.all(rules.secrets.map(importSecret))
  const algorithms = [
    ...(rules.secrets.length > 0 ? ['HS256'] : []),
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
      return firstOf(await secrets, key => jwtVerify(token, key, { ...claims, algorithms: [alg] }))
    }
    const { keys } = rules
    if (!keys || !alg || !publicAlgorithms.includes(alg)) throw new errors.JOSEAlgNotAllowed()
    const verify = () => verifyWith(keys, token, { ...claims, algorithms: [alg] })
    try {
      return await verify()
    } catch (error) {
      // Its provider may have served a wrong key under the right name for a while.
      const isMisfit = error instanceof errors.JWSSignatureVerificationFailed
      if (isMisfit && (await keys.again?.())) return verify()
      throw error
    }
  }

  const checkHmac = createHmacCheck(rules.secrets, claims)
  const checkByJose = rememberTokens(async token => {
    try {
      const { payload } = await payloadOf(token)
      return readIdentity(payload)
    } catch (error) {
      throw toRefusal(error, algorithms)
    }
  })

  return token => {
    try {
      const payload = checkHmac(token)
      if (payload) return readIdentity(payload)
    } catch (error) {
      throw toRefusal(error, algorithms)
    }
    return checkByJose(token)
  }
}

const importSecret = (secret: string) =>
  crypto.subtle.importKey(
    'raw',
    new TextEncoder().encode(secret),
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['verify'],
  )

const verifyWith = async (keys: JWTVerifyGetKey, token: string, options: JWTVerifyOptions) => {
  try {
    return await jwtVerify(token, keys, options)
  } catch (error) {
    // Several keys can match a token without a kid.
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    return firstOf(error, key => jwtVerify(token, key, options))
  }
}

/** Verifies with each key until one succeeds. */
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

/** Translates an error of jose. Its own messages are not repeated, because they do not help a client. */
const toRefusal = (error: unknown, algorithms: string[]) => {
  if (error instanceof KairanError) return error
  if (error instanceof errors.JWTExpired) return tokenExpired()
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new KairanError(
      'token_invalid',
      `The claim ${error.claim} of the token is missing, or not the one that this service requires.`,
    )
  }
  return new KairanError(
    'token_invalid',
    `The token is not valid. It needs sub, exp and a signature by a key of this service (${algorithms.join(', ')}).`,
  )
}
