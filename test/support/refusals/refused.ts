/** A request, and the status and the code with which it has to be refused. */
export type Refused = [
  what: string,
  request: RequestInit & { path: string },
  status: number,
  code: string,
]

/** A request with a token in its header. */
export const withBearer = (path: string, token: string, more: RequestInit = {}) => ({
  path,
  ...more,
  headers: { authorization: `Bearer ${token}`, ...more.headers },
})

export const stream = '/notifications/stream'
