import { createBoundedMap } from '../lib/bounded-map.ts'
import { KairanError } from '../lib/errors.ts'
import { type Identity, tokenExpired } from './identity.ts'

/** A key that was withdrawn, or a new one, is noticed after so long. */
const goodMs = 60_000
const badMs = 10_000
/** Of each kind. A token costs about half a kilobyte here. */
const most = 4000

/**
 * Remembers what was said of a token, under its hash: clients come back with the same one, the good to
 * publish or reconnect, the bad because nobody has told them to stop. That a token can't be checked now
 * is not remembered.
 */
export const rememberTokens = (
  check: (token: string) => Promise<Identity>,
): ((token: string) => Promise<Identity>) => {
  // Apart, so that whoever makes tokens up does not push out the good ones.
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
