import { Elysia } from 'elysia'
import type { Auth } from '../auth/auth.ts'
import { isSameOrigin } from '../auth/origins.ts'
import { answer, uncached } from '../http/answer.ts'
import { readObject } from '../http/body.ts'
import { KairanError } from '../lib/errors.ts'

/**
 * Signs in to the dashboard with a token: `POST /admin/session` puts a valid token into the cookie, `DELETE` removes
 * the cookie.
 */
export const adminSessionRoutes = ({ auth, cookie }: { auth: Auth; cookie: string }) => {
  const requireOwnPage = (request: Request) => {
    if (isSameOrigin(request)) return
    throw new KairanError(
      'origin_forbidden',
      'Only the dashboard of this service may sign in here.',
    )
  }
  const setCookie = (request: Request, token: string, seconds: number) =>
    new Bun.Cookie(cookie, token, {
      httpOnly: true,
      sameSite: 'lax',
      path: '/',
      maxAge: seconds,
      secure: isSecure(request, cookie),
    }).serialize()

  return new Elysia({ name: 'admin-session' })
    .post(
      '/admin/session',
      async ({ request }) => {
        requireOwnPage(request)
        const { object } = await readObject(request, 16_384)
        const { token } = object
        if (typeof token !== 'string' || token.length === 0) {
          throw new KairanError('bad_request', 'Send {"token": "…"}.')
        }
        const headers = { authorization: `Bearer ${token.trim()}` }
        const { userId, expiresAt } = await auth.identify(new Request(request.url, { headers }))
        const seconds = Math.max(1, Math.floor(expiresAt - Date.now() / 1000))
        return answer(
          { userId },
          { headers: { 'set-cookie': setCookie(request, token.trim(), seconds) } },
        )
      },
      { parse: 'none' },
    )
    .delete('/admin/session', ({ request }) => {
      requireOwnPage(request)
      return new Response(null, {
        status: 204,
        headers: { 'set-cookie': setCookie(request, '', 0), ...uncached },
      })
    })
}

/** Whether the cookie is for https only. Over plain http a browser would not store such a cookie. */
const isSecure = (request: Request, cookie: string) =>
  /^__(Host|Secure)-/i.test(cookie) ||
  request.url.startsWith('https:') ||
  request.headers.get('x-forwarded-proto') === 'https'
