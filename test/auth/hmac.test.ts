import { expect, test } from 'bun:test'
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { errors, type JWTVerifyOptions, jwtVerify } from 'jose'
import { createHmacCheck } from '../../src/auth/hmac.ts'

const secrets = ['the-first-secret-0123456789-abcdef', 'the-second-secret-0123456789-abcdef']
const now = Math.floor(Date.now() / 1000)
const common: JWTVerifyOptions = { requiredClaims: ['exp', 'sub'], clockTolerance: 5 }

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const signatureOf = (signed: string, secret = secrets[0] ?? '', hash = 'sha256') =>
  createHmac(hash, secret).update(signed).digest('base64url')
const sign = (header: unknown, claims: unknown, secret?: string) => {
  const signed = `${encode(header)}.${encode(claims)}`
  return `${signed}.${signatureOf(signed, secret)}`
}

/** What jose says: the claims, or the code of its error. */
const byJose = async (token: string, options: JWTVerifyOptions) => {
  let code = ''
  for (const secret of secrets) {
    try {
      const key = new TextEncoder().encode(secret)
      return (await jwtVerify(token, key, { ...options, algorithms: ['HS256'] })).payload
    } catch (error) {
      code = error instanceof errors.JOSEError ? error.code : String(error)
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) break
    }
  }
  return code
}

/** What the check says: the claims, the code of an error, or null when jose has to judge. */
const byCheck = (check: ReturnType<typeof createHmacCheck>, token: string) => {
  try {
    return check(token)
  } catch (error) {
    return error instanceof errors.JOSEError ? error.code : 'another error'
  }
}

const header = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ alg: 'HS256', typ: 'JWT' }) },
  fc.record(
    {
      alg: fc.constantFrom('HS256', 'HS256', 'HS384', 'none', 'RS256', 'hs256', '', 256, null),
      typ: fc.constantFrom('JWT', 'at+jwt', 7),
      b64: fc.constantFrom(true, false, 'true'),
      crit: fc.constantFrom(['b64'], ['exp'], [], 'b64', ['b64', 'b64'], null),
      kid: fc.string(),
    },
    { requiredKeys: [] },
  ),
  fc.constantFrom(null, [], 'HS256', 1),
)

const time = fc.oneof(
  fc.integer({ min: now + 60, max: now + 6000 }),
  fc.integer({ min: now - 6000, max: now - 60 }),
  fc.constantFrom(0, -1, null, '1', `${now + 60}`, now + 60.5, 1e300),
)
const name = fc.constantFrom<unknown>('us', 'others', '', ['us'], ['others', 'us'], ['others'], 7)
const claims = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ sub: '42', exp: now + 600, iss: 'us', aud: 'us' }) },
  fc.record(
    {
      sub: fc.oneof(fc.string(), fc.integer()),
      exp: time,
      nbf: time,
      iat: time,
      iss: name,
      aud: name,
    },
    { requiredKeys: [] },
  ),
  fc.constantFrom<unknown>(null, [], 'text', 1),
)

/** Signed tokens, by these secrets or another one, and what becomes of them when somebody changes the text. */
const token = fc
  .tuple(header, claims, fc.constantFrom(...secrets, 'a-secret-of-nobody-0123456789-abcdef'))
  .map(([header, claims, secret]) => sign(header, claims, secret))
const changes: ((token: string, at: number, text: string) => string)[] = [
  token => token,
  (token, at) => token.slice(0, at) + token.slice(at + 1),
  (token, at, text) => token.slice(0, at) + text + token.slice(at),
  (token, at, text) => token.slice(0, at) + text + token.slice(at + text.length),
  (token, at) => token.slice(0, at),
  token => `${token}=`,
  // The same bytes in another text: the last two bits of a signature count for nothing.
  token => token.slice(0, -1) + String.fromCharCode(token.charCodeAt(token.length - 1) + 1),
  token => token.replaceAll('-', '+').replaceAll('_', '/'),
  token => token.split('.').slice(1).join('.'),
  token => token.split('.').slice(0, 2).join('.'),
  token => `${token}.`,
  // Signed as it stands, though it is no token.
  (token, at, text) => {
    const changed = token.slice(0, at) + text + token.slice(at)
    const signed = changed.slice(0, changed.lastIndexOf('.'))
    return `${signed}.${signatureOf(signed)}`
  },
  token => `${token.split('.')[1]}.${signatureOf(token.split('.')[1] ?? '')}`,
  token => `.${token.split('.')[1]}.${signatureOf(`.${token.split('.')[1]}`)}`,
]
const changed = fc
  .tuple(
    token,
    fc.constantFrom(...changes),
    fc.nat(),
    fc.constantFrom('.', 'A', '=', ' ', 'é', '+', '..'),
  )
  .map(([token, change, at, text]) => change(token, at % token.length, text))

const options = fc.constantFrom<JWTVerifyOptions>(
  common,
  { ...common, issuer: 'us' },
  { ...common, audience: 'us' },
  { ...common, issuer: 'us', audience: 'us' },
)

test('says of every token what jose says of it, or leaves it to jose', async () => {
  let taken = 0
  let refused = 0
  await fc.assert(
    fc.asyncProperty(changed, options, async (token, options) => {
      const check = createHmacCheck(secrets, options)
      // It has seen a good header before, and a token without one must not profit from that.
      expect(
        check(sign({ alg: 'HS256' }, { sub: '1', exp: now + 60, iss: 'us', aud: 'us' })),
      ).not.toBeNull()
      const found = byCheck(check, token)
      if (found === null) return
      const expected = await byJose(token, options)
      if (typeof found === 'object') {
        taken++
        expect(expected).toEqual(found)
      } else {
        refused++
        expect(typeof expected).toBe('string')
      }
    }),
    { numRuns: 5000 },
  )
  // Both happen often, so both were compared.
  expect(taken).toBeGreaterThan(100)
  expect(refused).toBeGreaterThan(100)
})

test('takes what each secret has signed, with any header that says HS256 and nothing critical', () => {
  const check = createHmacCheck(secrets, common)
  const claims = { sub: '42', exp: now + 60 }
  for (const secret of secrets) {
    for (const header of [{ alg: 'HS256' }, { typ: 'JWT', alg: 'HS256', kid: '1' }]) {
      expect(check(sign(header, claims, secret))).toEqual(claims)
    }
  }
})

test('leaves to jose what another secret, another algorithm or nobody has signed', () => {
  const check = createHmacCheck(['', ...secrets], common)
  const claims = { sub: '42', exp: now + 60 }
  const signed = `${encode({ alg: 'HS384' })}.${encode(claims)}`
  const tokens = [
    sign({ alg: 'HS256' }, claims, 'a-secret-of-nobody-0123456789-abcdef'),
    sign({ alg: 'HS256' }, claims, ''),
    sign({ alg: 'none' }, claims),
    sign({ alg: 'HS256', crit: ['exp'], exp: 1 }, claims),
    `${signed}.${signatureOf(signed, secrets[0], 'sha384')}`,
    `${encode({ alg: 'none' })}.${encode(claims)}.`,
  ]
  expect(tokens.map(check)).toEqual(tokens.map(() => null))
})
