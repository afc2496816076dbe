import { KairanError, messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import type { Auth } from './auth.ts'
import { isPattern, isUserId } from './channels.ts'
import type { Cookies, Identified, Identify } from './identify.ts'
import { endOfTime, type Identity, tokenExpired } from './identity.ts'
import type { OriginGuard } from './origins.ts'

/** Identifies users by the sign-in of an application. Throws as `Auth.identify` does. */
export const createOwnAuth = (options: {
  identify: Identify
  guard: OriginGuard
  report: Report
}): Auth => ({
  async identify(request) {
    const header = request.headers.get('cookie')
    // A browser adds cookies to the requests of any page. What has a header of its own was sent on purpose.
    if (header !== null && !request.headers.has('authorization')) options.guard(request)
    const found = await ask(options.identify, request, options.report)
    if (found) return toIdentity(found)
    throw new KairanError('token_missing', 'You are not signed in: sign in to the application.')
  },
  sign: () => Promise.reject(new Error('The application signs in by itself')),
})

const ask = async (identify: Identify, request: Request, report: Report) => {
  try {
    return await identify({ request, cookie: cookiesOf(request) })
  } catch (cause) {
    if (cause instanceof KairanError) throw cause
    report.error({ error: messageOf(cause) }, 'identify failed.')
    throw new KairanError(
      'auth_unavailable',
      'The sign-in can not be checked now. Try again soon.',
      {
        retryAfter: 2,
        cause,
      },
    )
  }
}

const toIdentity = ({ userId, expiresAt, channels, publishes }: Identified): Identity => {
  if (!isUserId(userId)) {
    throw new KairanError(
      'token_invalid',
      'The user id is none: 1 to 200 characters without spaces, commas and control characters.',
    )
  }
  const seconds = expiresAt instanceof Date ? expiresAt.getTime() / 1000 : (expiresAt ?? endOfTime)
  // Also when it is no number.
  if (!(seconds > Date.now() / 1000)) throw tokenExpired()
  return {
    userId,
    expiresAt: Math.min(Math.floor(seconds), endOfTime),
    publishes: (publishes ?? []).filter(isPattern),
    subscribes: (channels ?? []).filter(isPattern),
  }
}

/** Reads the cookies when they are first asked for. Any name has an entry, as in Elysia. */
const cookiesOf = (request: Request): Cookies => {
  let values: Map<string, string> | null = null
  return new Proxy<Cookies>(
    {},
    {
      get(_, name) {
        values ??= parse(request.headers.get('cookie') ?? '')
        return { value: values.get(String(name)) }
      },
    },
  )
}

const parse = (header: string) => new Map([...new Bun.CookieMap(header)])
