import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey } from 'jose'
import { KairanError, messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'

/** In milliseconds. */
const defaults = {
  /** Keys of this age are asked for again, */
  stale: 10 * 60_000,
  /** and keys of this age are no longer used. */
  usable: 60 * 60_000,
  /** For a `kid` that is not known the provider is asked at most so often, */
  unknown: 10_000,
  /** and after a failure so often. */
  failure: 1000,
  timeout: 3000,
}

/**
 * The public keys of an identity provider: a JWK set (RFC 7517). After ten minutes it is asked for again
 * in the background, and used for an hour: while the provider is away, nobody who has a token is kept
 * out. However many tokens are made up, the provider is asked at most once a second. Throws
 * `auth_unavailable` when the keys can't be had.
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
      report.warn({ error: messageOf(error) }, 'The keys of JWT_JWKS_URL can not be had.')
    }
    if (failure?.error !== error) failure = { at: Date.now(), error }
    return new KairanError(
      'auth_unavailable',
      'Tokens can not be checked now: the identity provider does not answer. Try again soon.',
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
      if (keys.coolingDown) failure = null // They were had just now.
      return key
    } catch (error) {
      throw isOfToken(error) ? error : failed(error)
    }
  }
}

/** Whether it is the token that asks for what is not there, and not the provider that fails. */
const isOfToken = (error: unknown) =>
  error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys
