import { expect, test } from 'bun:test'
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { createRemoteKeys } from '../../src/auth/jwks.ts'
import { again, expectWithin } from '../support/again.ts'
import { open } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { inTime } from '../support/in-time.ts'
import { provider } from '../support/provider.ts'
import { secret, serve, tokenFor } from '../support/service.ts'

const ask = (url: string, token: string) =>
  fetch(`${url}/notifications/tickets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
  })

const codeOf = async (response: Response) => {
  const { code }: { code?: string } = await response.json()
  return [response.status, code]
}

test('takes RS256, ES256 and EdDSA by the key of their kid, and needs no secret then', async () => {
  await using db = await database()
  await using idp = provider()
  const algorithms = ['RS256', 'ES256', 'EdDSA', 'Ed25519']
  const keys = await Promise.all(algorithms.map(alg => idp.key(alg, { kid: `key of ${alg}` })))
  await using service = await serve(db, { JWT_JWKS_URL: idp.url, JWT_SECRET: '' })
  for (const key of keys) expect((await ask(service.url, await key.sign())).status).toBe(201)
  expect(idp.asked).toBe(1)
  expect(await codeOf(await ask(service.url, await tokenFor('42')))).toEqual([401, 'token_invalid'])
})

test('tries the keys that fit when a token names none', async () => {
  await using db = await database()
  await using idp = provider()
  await idp.key('ES256')
  const second = await idp.key('ES256')
  const foreign = await idp.key('ES256', { published: false })
  await using service = await serve(db, { JWT_JWKS_URL: idp.url })
  expect((await ask(service.url, await second.sign())).status).toBe(201)
  expect(await codeOf(await ask(service.url, await foreign.sign()))).toEqual([401, 'token_invalid'])
})

test('takes no public key as a secret, and no algorithm that it does not name', async () => {
  await using db = await database()
  await using idp = provider()
  const key = await idp.key('RS256', { kid: 'one' })
  const other = await idp.key('PS256', { kid: 'two' })
  await using service = await serve(db, { JWT_JWKS_URL: idp.url, JWT_SECRET: '' })
  const forged = (text: string) =>
    new SignJWT({ sub: '42', exp: Math.floor(Date.now() / 1000) + 60 })
      .setProtectedHeader({ alg: 'HS256', kid: 'one' })
      .sign(new TextEncoder().encode(text))
  for (const text of [key.pem, key.pem.trim(), secret]) {
    expect(await codeOf(await ask(service.url, await forged(text)))).toEqual([401, 'token_invalid'])
  }
  expect(await codeOf(await ask(service.url, await other.sign()))).toEqual([401, 'token_invalid'])
  expect((await ask(service.url, await key.sign())).status).toBe(201)
})

test('asks for made-up kids at a bounded rate', async () => {
  await using db = await database()
  await using idp = provider()
  const known = await idp.key('ES256', { kid: 'known' })
  await using service = await serve(db, { JWT_JWKS_URL: idp.url })
  const begun = Date.now()
  const answers = await Promise.all(
    Array.from({ length: 100 }, async (_, n) => {
      const key = await idp.key('ES256', { kid: `made-up-${n}`, published: false })
      return (await ask(service.url, await key.sign())).status
    }),
  )
  expect(new Set(answers)).toEqual(new Set([401]))
  // At most every ten seconds.
  expect(idp.asked).toBeLessThanOrEqual(1 + Math.floor((Date.now() - begun) / 10_000))
  const { asked } = idp
  expect((await ask(service.url, await known.sign())).status).toBe(201)
  expect(idp.asked).toBe(asked)
})

test('a provider that is down is no 401: 503 for programs, a later return for browsers', async () => {
  await using db = await database()
  await using idp = provider()
  const key = await idp.key('ES256', { kid: 'one' })
  const token = await key.sign()
  const troubles: [what: string, answer: () => Response][] = [
    ['an error', () => new Response('no', { status: 500 })],
    ['a redirect', () => Response.redirect('http://127.0.0.1:1/')],
    ['no JSON', () => new Response('<html>')],
    ['no key set', () => Response.json({ keys: 7 })],
  ]
  for (const [what, answer] of troubles) {
    await using service = await serve(db, { JWT_JWKS_URL: idp.url })
    idp.answer = answer
    const refused = await ask(service.url, token)
    expect(refused.headers.get('retry-after')).toBe('2')
    expect([what, ...(await codeOf(refused))]).toEqual([what, 503, 'auth_unavailable'])
    await using client = await open(service.url, { token })
    expect(client.response.status).toBe(200)
    expect(await client.control('reconnect')).toMatchObject({ reason: 'unavailable' })

    // Who is signed in by the secret does not need it.
    expect((await ask(service.url, await tokenFor('42'))).status).toBe(201)
    idp.answer = null
  }
})

test('asks a provider in trouble once a second, however many ask to be let in', async () => {
  await using db = await database()
  await using idp = provider()
  const key = await idp.key('ES256', { kid: 'one' })
  await using service = await serve(db, { JWT_JWKS_URL: idp.url })
  idp.answer = () => new Response('no', { status: 503 })
  // By the clock by which it waits.
  const begun = Date.now()
  for (let n = 0; n < 50; n++) await ask(service.url, await key.sign({ n }))
  expect(idp.asked).toBeLessThanOrEqual(1 + Math.floor((Date.now() - begun) / 1000))
  expect(service.logs.filter(({ sentence }) => /JWT_JWKS_URL/.test(sentence))).toHaveLength(1)
})

test('asks again for old keys in the background, and goes on with them while it can', () =>
  inTime([1000, 5000, 10_000], usable => goesOnWithOldKeys(usable)))

/** False when the old keys could not be used any more before it looked. */
const goesOnWithOldKeys = async (usable: number) => {
  await using idp = provider()
  await idp.key('ES256', { kid: 'one' })
  const sentences: string[] = []
  const say = (_: object, sentence: string) => void sentences.push(sentence)
  const keys = createRemoteKeys(
    idp.url,
    { info: say, warn: say, error: say },
    { stale: 0, usable, unknown: 0, failure: 0, timeout: 1000 },
  )
  const find = async () => keys({ alg: 'ES256', kid: 'one' }, { payload: '', signature: '' })

  const begun = Date.now()
  await find()
  expect(idp.asked).toBe(1)
  // A millisecond later it is stale; whoever comes does not wait for the answer.
  idp.answer = () => new Response('no', { status: 500 })
  try {
    await eventually(async () => {
      await find()
      return idp.asked >= 2
    })
  } catch (error) {
    if (Date.now() - begun > usable) return false
    throw error
  }
  const refusal = await eventually(() =>
    find().then(
      () => null,
      (error: unknown) => error,
    ),
  )
  expect(refusal).toMatchObject({ code: 'auth_unavailable' })
  expect(sentences).toEqual(['The keys of JWT_JWKS_URL cannot be fetched.'])
  idp.answer = null
  await find()
  return true
}

/** What a provider may serve for a while, from the JSON of its keys. */
const troubles: [what: string, answer: (keys: JWK[]) => Response][] = [
  ['garbage', () => new Response('<html>')],
  ['a damaged key', keys => Response.json({ keys: keys.map(key => ({ ...key, x: 'AA' })) })],
  ['another key of that name', () => Response.json({ keys: [foreign] })],
  ['something large', () => new Response(endless(400))],
]
const foreign = {
  ...(await exportJWK((await generateKeyPair('ES256', { extractable: true })).publicKey)),
  ...{ kid: 'one', alg: 'ES256' },
}
let served = 0
const endless = (megabytes: number) => {
  const piece = new Uint8Array(1024 * 1024).fill(32)
  served = 0
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (served++ < megabytes) controller.enqueue(piece)
      else controller.close()
    },
  })
}

for (const [what, answer] of troubles) {
  test(`is right within seconds of when its provider is, however many ask meanwhile: ${what}`, async () => {
    await using db = await database()
    await using idp = provider()
    const key = await idp.key('ES256', { kid: 'one' })
    const good: { keys: JWK[] } = await (await fetch(idp.url)).json()
    let n = 0
    // A pause of this process counts against the service: such a time is measured again.
    await again(async () => {
      await using service = await serve(db, { JWT_JWKS_URL: idp.url })
      const { asked } = idp
      idp.answer = () => answer(good.keys)
      const next = async () => (await ask(service.url, await key.sign({ n: n++ }))).status
      const inTrouble = performance.now()
      await eventually(async () => {
        expect(await next()).toBeOneOf([401, 503])
        return performance.now() - inTrouble > 1500
      })
      expect(served).toBeLessThan(50)
      idp.answer = null
      const since = performance.now()
      await eventually(async () => (await next()) === 201)
      expectWithin('the right key', performance.now() - since, 6000)
      // About one a second, and one for each signature that did not fit.
      expect(idp.asked - asked).toBeLessThan(12)
    })
  })
}

test('a set with something in it that is no key is good for the others', async () => {
  await using db = await database()
  await using idp = provider()
  const key = await idp.key('ES256', { kid: 'one' })
  const good: { keys: JWK[] } = await (await fetch(idp.url)).json()
  idp.answer = () => Response.json({ keys: [null, 7, { kty: 'none' }, ...good.keys] })
  await using service = await serve(db, { JWT_JWKS_URL: idp.url })
  expect((await ask(service.url, await key.sign())).status).toBe(201)
})
