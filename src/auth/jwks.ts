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
  /** Shortest time between two fetches because of a signature that does not fit its key. */
  misfit: 5000,
  /** Shortest time between two fetches after a failure. */
  failure: 1000,
  timeout: 3000,
}

/** A set of keys has a few kilobytes. A larger answer is none. */
const mostBytes = 1024 * 1024

/** How often a provider in trouble is reported. */
const reportMs = 60_000

export type RemoteKeys = JWTVerifyGetKey & {
  /** Fetches the keys again when a signature does not fit; false when that was done just now. */
  again(): Promise<boolean>
}

/**
 * The public keys of an identity provider: a JWK set (RFC 7517). The set is fetched again in the background after ten
 * minutes, and used for an hour, so that valid tokens are accepted while the provider is down. Forged tokens cause at
 * most one fetch a second. Throws `auth_unavailable` when the keys cannot be fetched.
 */
export const createRemoteKeys = (
  url: string,
  report: Report,
  given: Partial<typeof defaults> = {},
): RemoteKeys => {
  const times = { ...defaults, ...given }
  /** Why the last fetch, or a key that it brought, was of no use; null when all is well. */
  let failure: { error: unknown } | null = null
  let askedAt = 0
  let reportedAt = Number.NEGATIVE_INFINITY

  const ask = async (...[address, init]: Parameters<typeof fetch>) => {
    // By the time of the last fetch: failures go on as fast as requests come.
    if (failure && Date.now() - askedAt < times.failure) throw failure.error
    askedAt = Date.now()
    // Not by cancelling the body: Bun then waits for the rest of it.
    const tooLarge = new AbortController()
    const signals = [tooLarge.signal, ...(init?.signal ? [init.signal] : [])]
    const response = await fetch(address, { ...init, signal: AbortSignal.any(signals) })
    if (response.status !== 200) return response
    const keys = await readKeys(response, tooLarge)
    failure = null
    return Response.json(keys)
  }

  const keys = createRemoteJWKSet(new URL(url), {
    timeoutDuration: times.timeout,
    cooldownDuration: times.unknown,
    cacheMaxAge: times.usable,
    [customFetch]: ask,
  })

  const failed = (error: unknown) => {
    if (performance.now() - reportedAt > reportMs) {
      reportedAt = performance.now()
      report.warn({ error: messageOf(error) }, 'The keys of JWT_JWKS_URL cannot be fetched.')
    }
    failure = { error }
    return new KairanError(
      'auth_unavailable',
      'Tokens cannot be checked now: the identity provider does not answer. Try again soon.',
      { retryAfter: 2, cause: error },
    )
  }

  const refresh = () => {
    const dueAt = askedAt + (failure ? times.failure : times.stale)
    if (keys.fresh && !keys.reloading && Date.now() > dueAt) keys.reload().catch(failed)
  }

  const find: JWTVerifyGetKey = async (header, token) => {
    refresh()
    try {
      return await keys(header, token)
    } catch (error) {
      throw isOfToken(error) ? error : failed(error)
    }
  }

  return Object.assign(find, {
    async again() {
      if (Date.now() - askedAt < times.misfit) return false
      return keys.reload().then(
        () => true,
        error => {
          throw failed(error)
        },
      )
    },
  })
}

/** Reads a set of keys. Of what is in it only objects can be keys; the others must not spoil these. */
const readKeys = async (response: Response, tooLarge: AbortController): Promise<unknown> => {
  const reader = response.body?.getReader()
  const bytes: Uint8Array[] = []
  let size = 0
  for (let read = await reader?.read(); read?.value; read = await reader?.read()) {
    size += read.value.length
    if (size > mostBytes) {
      const error = new Error(`The answer has more than ${mostBytes} bytes`)
      tooLarge.abort(error)
      throw error
    }
    bytes.push(read.value)
  }
  const found: unknown = JSON.parse(Buffer.concat(bytes).toString())
  if (typeof found !== 'object' || found === null || !('keys' in found)) return found
  const { keys } = found
  return Array.isArray(keys)
    ? { keys: keys.filter(key => typeof key === 'object' && key !== null) }
    : found
}

/** Whether the error is the token's, which names a key that does not exist, and not the provider's. */
const isOfToken = (error: unknown) =>
  error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys
