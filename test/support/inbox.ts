import { tokenFor } from './service.ts'

/** A page of the inbox. */
export type Page = {
  notifications: {
    channel: string
    payload: Record<string, unknown> & { metadata: Record<string, unknown> }
    id: string
    type: string | null
    createdAt: string
    cursor: string
    read: boolean
  }[]
  next: string | null
  unread: number
  unseen: number
  unreadIsLeast?: true
  unseenIsLeast?: true
  cursor: string
}

/** Reads the inbox of a user, or posts to it. Resolves with the status and the JSON. */
export const ask = async (
  url: string,
  userId: string,
  options: { query?: string; post?: unknown; path?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; body: Record<string, unknown>; text: string }> => {
  const { query = '', post, path = post === undefined ? '' : '/read' } = options
  const response = await fetch(`${url}/notifications${path}${query}`, {
    headers: {
      authorization: `Bearer ${await tokenFor(userId)}`,
      ...(post === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    },
    ...(post === undefined
      ? {}
      : { method: 'POST', body: typeof post === 'string' ? post : JSON.stringify(post) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? {} : JSON.parse(text), text }
}

/** Reads a page of a user's inbox. */
export const pageOf = async (url: string, userId: string, query = ''): Promise<Page> => {
  const response = await fetch(`${url}/notifications${query}`, {
    headers: { authorization: `Bearer ${await tokenFor(userId)}` },
  })
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
  return response.json()
}

/** All pages of a user's inbox, one after the other, from where one has ended if told. */
export const allOf = async (
  url: string,
  userId: string,
  query = '?limit=100',
  before: string | null = '',
) => {
  const all: Page['notifications'] = []
  for (let next = before; next !== null; ) {
    const page: Page = await pageOf(url, userId, query + (next ? `&before=${next}` : ''))
    all.push(...page.notifications)
    next = page.next
  }
  return all
}

/** Marks notifications of a user's inbox. Resolves with the number of unread ones. */
export const mark = async (url: string, userId: string, change: object) => {
  const { status, body } = await ask(url, userId, { post: change })
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body.unread
}
