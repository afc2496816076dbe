import type { InboxPage, InboxQuery, Options, RequestError } from './types.ts'

/** What a refused request throws, with the `code` of its problem. */
const requestError = async (response: Response): Promise<RequestError> => {
  const { code = null, detail } = await response.json().catch(() => ({}))
  const { status } = response
  return Object.assign(new Error(detail ?? `The answer was ${status}`), { status, code })
}

type Init = RequestInit & { headers?: Record<string, string> }

/** Whoever has not answered by then does not. */
const maxAnswerMs = 30_000

/** What is asked of the service besides the stream. */
export const createRequests = ({ url = '', auth }: Options) => {
  const base = `${url.replace(/\/$/, '')}/notifications`

  const request = async (path: string, refresh: boolean, init: Init): Promise<Response> =>
    fetch(base + path, {
      // A token says all. Without one, it is the cookie, also for a service of another origin.
      credentials: auth ? 'same-origin' : 'include',
      cache: 'no-store',
      ...init,
      headers: {
        ...init.headers,
        ...(auth && { authorization: `Bearer ${await auth(refresh)}` }),
      },
    })

  const ask = async (path: string, body?: object) => {
    const init = {
      signal: AbortSignal.timeout(maxAnswerMs),
      ...(body && {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    }
    let response = await request(path, false, init)
    if (response.status === 401 && auth) response = await request(path, true, init)
    if (response.ok) return response.json()
    throw await requestError(response)
  }

  return {
    request,
    list: ({ type, ...query }: InboxQuery): Promise<InboxPage> => {
      const search = new URLSearchParams()
      for (const [name, value] of Object.entries({ ...query, type: type && `${type}` })) {
        if (value !== undefined) search.set(name, `${value}`)
      }
      return ask(`?${search}`)
    },
    mark: async (body: object): Promise<number> => (await ask('/read', body)).unread,
    renew: async (streamId: unknown) =>
      (await request(`/stream/${streamId}/token`, true, { method: 'POST' })).ok,
  }
}
