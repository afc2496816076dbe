import { isObject, parseObject } from '../lib/json.ts'

/** The `control` event that says what was read, and how much is not. */
export type InboxControl = { type: 'read' | 'unread'; [key: string]: unknown }

/** What an instance has to know of a user whose streams may be open here. */
export type UserChange = { userId: string } & (
  | { action: 'reauthorize' }
  | { action: 'disconnect' }
  | { action: 'replace'; streamId: string }
  | { action: 'extend'; streamId: string; expiresAt: number }
  | { action: 'inbox'; control: InboxControl }
)

/** Reads what `kairan.tell` wrote or sent; null when it is not understood. */
export const parseUserChange = (text: string): UserChange | null => {
  const { action, userId, streamId, expiresAt, control } = parseObject(text) ?? {}
  if (typeof userId !== 'string') return null
  if (action === 'reauthorize' || action === 'disconnect') return { userId, action }
  if (action === 'inbox') {
    return isInboxControl(control) ? { userId, action, control } : null
  }
  if (typeof streamId !== 'string') return null
  if (action === 'replace') return { userId, action, streamId }
  if (action === 'extend' && typeof expiresAt === 'number') {
    return { userId, action, streamId, expiresAt }
  }
  return null
}

const isInboxControl = (value: unknown): value is InboxControl =>
  isObject(value) && (value.type === 'read' || value.type === 'unread')
