/** An error of the admin API. */
export class Refusal extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, detail: string) {
    super(detail)
    this.status = status
    this.code = code
  }
}

/** Reads from the admin API. The address is relative, so that it works below any path. Throws a Refusal. */
export const get = <T>(path: string, query: Record<string, string> = {}): Promise<T> => {
  return request(`admin/${path}?${new URLSearchParams(filled(query))}`, {})
}

/** The fields that are not empty. */
const filled = <T>(fields: Record<string, T>) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''))

/** Changes something by the admin API. Throws a Refusal. */
export const post = <T>(path: string, body: Record<string, unknown> = {}): Promise<T> =>
  request(`admin/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(filled(body)),
  })

export const signOut = () => request<null>('admin/session', { method: 'DELETE' })

const request = async <T>(path: string, init: RequestInit): Promise<T> => {
  const signal = AbortSignal.timeout(10_000)
  const response = await fetch(path, { ...init, signal }).catch(() => null)
  if (response === null) throw new Refusal(0, 'unreachable', 'The service does not answer.')
  if (response.status === 204) return null as T
  const body = await response.json().catch(() => ({}))
  if (response.ok) return body
  throw new Refusal(
    response.status,
    String(body.code ?? 'unreachable'),
    String(body.detail ?? `The service answered ${response.status}.`),
  )
}
