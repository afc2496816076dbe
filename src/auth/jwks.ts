import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey } from 'jose'
import { KairanError, messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'

/** Times in milliseconds. */
const defaults = {
  /** After this time the keys are fetched again in the background. */
  stale: 10 * 60_000,
  /** After this time the keys are no longer used. */
  usable: 60 * 60_000,
  /** Shortest time between two fetches because of an unknown `kid`. */
  unknown: 10_000,
  /** Shortest time between two fetches after a failure. */
  failure: 1000,
  timeout: 3000,
}

/**
 * The public keys of an identity provider: a JWK set (RFC 7517). The set is fetched again in the background after ten
 * minutes, and used for an hour, so that valid tokens are accepted while the provider is down. Forged tokens cause at
 * most one fetch a second. Throws `auth_unavailable` when the keys cannot be fetched.
 */
export const createRemoteKeys = (
  url: string,
  report: Report,
  times = defaults,
): JWTVerifyGetKey => {
  let failure: { at: number; error: unknown } | null = null
  let askedAt = 0

  const ask = async (...[address, init]: Parameters<typeof fetch>) => {
    if (failure && Date.now() - failure.at < times.failure) throw failure.error
    askedAt = Date.now()
    return fetch(address, init)
  }

  const keys = createRemoteJWKSet(new URL(url), {
    timeoutDuration: times.timeout,
    cooldownDuration: times.unknown,
    cacheMaxAge: times.usable,
    [customFetch]: ask,
  })

  const failed = (error: unknown) => {
    if (failure === null) {
      report.warn({ error: messageOf(error) }, 'The keys of JWT_JWKS_URL cannot be fetched.')
    }
    if (failure?.error !== error) failure = { at: Date.now(), error }
    return new KairanError(
      'auth_unavailable',
      'Tokens cannot be checked now: the identity provider does not answer. Try again soon.',
      { retryAfter: 2, cause: error },
    )
  }

  const refresh = () => {
    const dueAt = askedAt + (failure ? times.unknown : times.stale)
    if (keys.fresh && !keys.reloading && Date.now() > dueAt) keys.reload().catch(failed)
  }

  return async (header, token) => {
    refresh()
    try {
      const key = await keys(header, token)
      if (keys.coolingDown) failure = null // The keys were fetched just now.
      return key
    } catch (error) {
      throw isOfToken(error) ? error : failed(error)
    }
  }
}

/** Whether the error is the token's, which names a key that does not exist, and not the provider's. */
const isOfToken = (error: unknown) =>
  error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys
