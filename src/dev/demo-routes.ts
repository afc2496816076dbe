import { Elysia, t } from 'elysia'
import type { Auth } from '../auth/auth.ts'
import { isSameOrigin } from '../auth/origins.ts'
import { answer, uncached } from '../http/answer.ts'
import { readObject } from '../http/body.ts'
import { KairanError } from '../lib/errors.ts'
import html from './demo.html' with { type: 'text' }
import type { DemoStore } from './demo.ts'

/** The users of the demo. */
const users = [
  { id: '1', name: 'Aiko', roleLevel: 0 },
  { id: '2', name: 'Ben', roleLevel: 0 },
  { id: '3', name: 'Chidi', roleLevel: 'admin' },
] as const

/**
 * The demo page at `/`, on which one can sign in, publish and watch a stream. It is for `dev` only, because anybody can
 * sign in as any of its users.
 */
export const demoRoutes = (options: {
  auth: Auth
  cookie: string
  adminRoleLevel: number
  store: DemoStore
}) => {
  const { auth, store } = options
  const page = String(html)
  return new Elysia({ name: 'demo' })
    .onParse(async ({ request }) => (await readObject(request, 1024 * 1024)).object)
    .get('/', () => new Response(page, { headers: pageHeaders(page) }))
    .onBeforeHandle(({ request }) => {
      if (!isSameOrigin(request)) {
        throw new KairanError('origin_forbidden', 'The demo accepts requests of its own page only.')
      }
    })
    .post(
      '/demo/session',
      async ({ body }) => {
        const user = users.find(({ id }) => id === body.user)
        if (!user) throw new KairanError('unprocessable', `There is no demo user "${body.user}".`)
        if (user.roleLevel === 'admin') await store.giveRole(user.id, options.adminRoleLevel)
        const token = await auth.sign(user.id, 86_400)
        const cookie = new Bun.Cookie(options.cookie, token, {
          httpOnly: true,
          sameSite: 'lax',
          path: '/',
        })
        // The page uses the token; the cookie is for what somebody tries in the browser's console.
        return answer({ ...user, token }, { headers: { 'set-cookie': cookie.serialize() } })
      },
      { body: t.Object({ user: t.String() }) },
    )
    .post(
      '/demo/notifications',
      async ({ body, request }) => {
        await auth.identify(request)
        const { channel, payload, type } = body
        return answer({ id: await store.publish(channel, payload, type || null) })
      },
      { body: t.Object({ channel: t.String(), payload: t.String(), type: t.String() }) },
    )
    .post(
      '/demo/members',
      async ({ body, request }) => {
        const { userId } = await auth.identify(request)
        await store.setMember('org-7', userId, body.isMember)
        return answer({ isMember: body.isMember })
      },
      { body: t.Object({ isMember: t.Boolean() }) },
    )
    .get(
      '/demo/deliveries/:id',
      async ({ params, request }) => {
        await auth.identify(request)
        return answer(await store.deliveries(params.id))
      },
      { params: t.Object({ id: t.String({ format: 'uuid' }) }) },
    )
}

/** The page contains all that it needs but the client and the bell, so nothing else may run or load. */
const pageHeaders = (page: string) => {
  const hash = (tag: string) => {
    const [, text = ''] =
      new RegExp(`<${tag}(?: type="module")?>([\\s\\S]*)</${tag}>`).exec(page) ?? []
    return `'sha256-${new Bun.CryptoHasher('sha256').update(text).digest('base64')}'`
  }
  return {
    'content-type': 'text/html; charset=utf-8',
    ...uncached,
    'content-security-policy':
      `default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; ` +
      `frame-ancestors 'none'; script-src 'self' ${hash('script')}; style-src ${hash('style')}`,
  }
}
