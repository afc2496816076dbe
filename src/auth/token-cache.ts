import { createBoundedMap } from '../lib/bounded-map.ts'
import { KairanError } from '../lib/errors.ts'
import { type Identity, tokenExpired } from './identity.ts'

/** How long an answer is remembered: after this time a new or a withdrawn key takes effect. */
const goodMs = 60_000
const badMs = 10_000
/** Largest number of remembered tokens of each kind. A token takes about half a kilobyte. */
const most = 4000

/**
 * Remembers whether a token is valid, by its hash. Clients send the same token again: valid ones to publish or to
 * reconnect, invalid ones because they retry. When a token could not be checked, nothing is remembered.
 */
export const rememberTokens = (
  check: (token: string) => Promise<Identity>,
): ((token: string) => Promise<Identity>) => {
  // Two maps, so that forged tokens do not displace valid ones.
  const good = createBoundedMap<{ identity: Identity; until: number }>(most)
  const bad = createBoundedMap<{ error: KairanError; until: number }>(most)

  return async token => {
    const hash = new Bun.CryptoHasher('sha256').update(token).digest('base64')
    const now = Date.now()
    const known = good.get(hash)
    if (known && now < known.until) {
      if (now >= known.identity.expiresAt * 1000) throw tokenExpired()
      return known.identity
    }
    const refused = bad.get(hash)
    if (refused && now < refused.until) throw refused.error
    try {
      const identity = await check(token)
      good.set(hash, { identity, until: now + goodMs })
      return identity
    } catch (error) {
      if (error instanceof KairanError && error.status === 401) {
        good.delete(hash)
        bad.set(hash, { error, until: now + badMs })
      }
      throw error
    }
  }
}
