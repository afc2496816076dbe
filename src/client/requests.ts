import type { Options, RequestError } from './types.ts'

/** The error of a refused request, with the `code` of its problem. */
const requestError = async (response: Response): Promise<RequestError> => {
  const { code = null, detail } = await response.json().catch(() => ({}))
  const { status } = response
  return Object.assign(new Error(detail ?? `The answer was ${status}`), { status, code })
}

type Init = RequestInit & { headers?: Record<string, string> }

/** How long a request may take, in milliseconds. */
const maxAnswerMs = 30_000
const maxAuthMs = 10_000

/** A query of these members. A list is separated by commas, and what is undefined is left out. */
export const queryOf = (members: object) => new URLSearchParams(JSON.parse(JSON.stringify(members)))

/** The requests to the service, apart from the stream. */
export const createRequests = (
  { url = '', auth }: { url?: Options['url'] | undefined; auth?: Options['auth'] | undefined },
  /** Called with the headers of each answer: whose it is, and what the service's clock says. */
  onHeaders: (headers: Headers) => void,
) => {
  const base = `${url.replace(/\/$/, '')}/notifications`
  /** How many tokens were asked for because one was refused, and the last of them. */
  let refreshes = 0
  let fresh: Promise<string | undefined> | undefined
  /** The token that was used last. A page that is being left has no time to ask for one. */
  let known: string | undefined
  /** The stream's last token. */
  const ofStream = { refreshes: 0 }

  const askAuth = async (refresh: boolean, isUrgent?: boolean) =>
    Promise.race([
      auth?.(refresh),
      new Promise<never>((_, reject) =>
        setTimeout(reject, isUrgent ? maxAnswerMs : maxAuthMs, new Error('auth stalled')),
      ),
    ])

  /** A token. Of those whose token was refused, the first asks for a new one, and all get it. */
  const tokenOf = async (last: { refreshes: number }, isRefused: boolean, isUrgent?: boolean) => {
    if (isRefused && last.refreshes >= refreshes) {
      refreshes++
      fresh = askAuth(true, isUrgent)
      fresh.catch(() => refreshes--)
    }
    known = await (isRefused ? fresh : (isUrgent && known) || askAuth(false, isUrgent))
    last.refreshes = refreshes
    return known
  }

  const request = async (
    path: string,
    init: Init,
    isRefused = false,
    last = ofStream,
  ): Promise<Response> => {
    const response = await fetch(base + path, {
      // Without a token the cookie identifies the user, also for a service of another origin.
      credentials: auth ? 'same-origin' : 'include',
      cache: 'no-store',
      ...init,
      headers: {
        ...init.headers,
        ...(auth && { authorization: `Bearer ${await tokenOf(last, isRefused, init.keepalive)}` }),
      },
    })
    onHeaders(response.headers)
    return response
  }

  const ask = async (path: string, body?: object, method = 'POST') => {
    const last = { refreshes }
    const send = (isRefused: boolean) =>
      request(
        path,
        {
          signal: AbortSignal.timeout(maxAnswerMs),
          ...(body && {
            method,
            // It arrives though the page is left.
            keepalive: true,
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify(body),
          }),
        },
        isRefused,
        last,
      )
    let response = await send(false)
    if (response.status === 401 && auth) response = await send(true)
    if (!response.ok) throw await requestError(response)
    return response.json()
  }

  return {
    ask,
    request,
  }
}
