import { exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose'

export type Provider = AsyncDisposable & {
  /** The URL of the key set. */
  url: string
  /** How often the key set was requested. */
  readonly asked: number
  /** Answers instead of the key set, when it is set. */
  answer: (() => Response | Promise<Response>) | null
  /** Makes a key, publishes it by default, and returns a function that signs with it. */
  key(alg: string, options?: { kid?: string; published?: boolean }): Promise<Key>
}

export type Key = {
  sign(claims?: Record<string, unknown>): Promise<string>
  pem: string
}

/** An identity provider on 127.0.0.1, for JWT_JWKS_URL. */
export const provider = (): Provider => {
  const keys: JWK[] = []
  let asked = 0
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch() {
      asked++
      return made.answer ? made.answer() : Response.json({ keys })
    },
  })
  const made: Provider = {
    url: `http://127.0.0.1:${server.port}/jwks.json`,
    get asked() {
      return asked
    },
    answer: null,
    async key(alg, { kid, published = true } = {}) {
      const pair = await generateKeyPair(alg, { extractable: true })
      const named = kid === undefined ? {} : { kid }
      if (published) keys.push({ ...(await exportJWK(pair.publicKey)), ...named, alg, use: 'sig' })
      return {
        sign: claims =>
          new SignJWT({ sub: '42', exp: Math.floor(Date.now() / 1000) + 3600, ...claims })
            .setProtectedHeader({ alg, ...named })
            .sign(pair.privateKey),
        pem: await exportSPKI(pair.publicKey),
      }
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  }
  return made
}
