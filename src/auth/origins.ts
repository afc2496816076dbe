import { KairanError } from '../lib/errors.ts'

/**
 * Throws `origin_forbidden` unless the page that sent a request may use the cookie of its user: it is a page of this
 * service, or of an origin in CORS_ORIGINS.
 */
export type OriginGuard = (request: Request) => void

/** Accepts pages of this service, pages of `allowed` origins, and programs that are not browsers. */
export const createOriginGuard = (allowed: readonly string[]): OriginGuard => {
  const listed = new Set(allowed)
  return request => {
    const origin = request.headers.get('origin')
    if (isSameOrigin(request) || (origin !== null && listed.has(origin))) return
    throw new KairanError(
      'origin_forbidden',
      'A cookie counts only for pages of this service and of CORS_ORIGINS. Send a token or a ticket.',
    )
  }
}

/**
 * Whether a request comes from a page of this service, or from a program that is no browser and whose cookie no page
 * can misuse. Sec-Fetch-Site decides when it is present: no page can set it. Old browsers do not send it, nor does any
 * browser over plain http to another machine. Then Origin has to name this host. Its scheme may differ, because a proxy
 * may end TLS.
 */
export const isSameOrigin = (request: Request) => {
  const site = request.headers.get('sec-fetch-site')
  if (site !== null) return site === 'same-origin' || site === 'none'
  const origin = request.headers.get('origin')
  return origin === null || URL.parse(origin)?.host === request.headers.get('host')
}
