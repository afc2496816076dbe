import { KairanError } from '../lib/errors.ts'

/**
 * Throws `origin_forbidden` unless a request comes from a page that may act with the cookies of whoever
 * sits before it: one of this service, or of an origin that the operator has listed.
 */
export type OriginGuard = (request: Request) => void

/** Lets in this service's own pages, those of `allowed` origins, and programs that are no browsers. */
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
 * A browser says where a request comes from; other programs have no cookie to be abused. Sec-Fetch-Site
 * goes first, as no page can write it. It is not sent over plain http from afar, nor by old browsers:
 * then Origin has to name this host. Its scheme may differ, as TLS can end before this service.
 */
export const isSameOrigin = (request: Request) => {
  const site = request.headers.get('sec-fetch-site')
  if (site !== null) return site === 'same-origin' || site === 'none'
  const origin = request.headers.get('origin')
  return origin === null || URL.parse(origin)?.host === request.headers.get('host')
}
