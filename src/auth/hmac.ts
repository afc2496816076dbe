import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto'
import { decodeProtectedHeader, type JWTClaimVerificationOptions, UnsecuredJWT } from 'jose'

/**
 * Verifies tokens of the common form that one of these secrets has signed with HS256, and returns their claims; null
 * for any other token, which jose has to judge. Throws jose's errors about the claims.
 *
 * jose gives every signature to WebCrypto, which answers from another thread: that costs ten times as much as the HMAC.
 * What is decided here is only that a holder of the secret wrote exactly this text and that its header says HS256 and
 * nothing critical. jose reads the header and checks the claims, as in `jwtVerify`.
 */
export const createHmacCheck = (
  secrets: readonly string[],
  claims: JWTClaimVerificationOptions,
): ((token: string) => Record<string, unknown> | null) => {
  // With an empty secret anybody could sign.
  const keys = secrets.filter(Boolean).map(secret => createSecretKey(Buffer.from(secret)))
  /** The last header that passed. Signers write the same one each time. */
  let passed: string | null = null

  return token => {
    const [header, payload, signature, ...more] = token.split('.')
    if (!header || payload === undefined || signature === undefined || more.length > 0) return null
    const signed = token.slice(0, -signature.length - 1)
    if (!keys.some(key => isSignedBy(key, signed, signature))) return null
    if (header !== passed) {
      const { alg, crit } = decodeProtectedHeader(token)
      if (alg !== 'HS256' || crit !== undefined) return null
      passed = header
    }
    return UnsecuredJWT.decode(`${unsecured}.${payload}.`, claims).payload
  }
}

/** Compares the text of the signature, so that another text of the same bytes is left to jose. */
const isSignedBy = (key: ReturnType<typeof createSecretKey>, signed: string, signature: string) => {
  const expected = Buffer.from(createHmac('sha256', key).update(signed).digest('base64url'))
  const given = Buffer.from(signature)
  return given.length === expected.length && timingSafeEqual(given, expected)
}

/** The header that jose wants where it only checks claims. */
const unsecured = Buffer.from('{"alg":"none"}').toString('base64url')
