import { isObject, parseObject } from '../lib/json.ts'

/** The `control` event that says what was marked, and how much is not. */
export type InboxControl = { type: (typeof inboxControls)[number]; [key: string]: unknown }

const inboxControls = ['read', 'unread', 'seen', 'archived', 'unarchived'] as const

/** What an instance has to know of a user whose streams may be open here. */
export type UserChange =
  /** Of everybody, when `userIds` is null. */
  | { action: 'reauthorize'; userIds: readonly string[] | null }
  | { userId: string; action: 'disconnect' }
  | { userId: string; action: 'replace'; streamId: string }
  | ({ userId: string; action: 'extend'; streamId: string } & Token)
  | {
      userId: string
      action: 'channels'
      streamId: string
      add: readonly string[]
      remove: readonly string[]
    }
  | { userId: string; action: 'also'; streamId: string; also: readonly string[] }
  | { userId: string; action: 'inbox'; control: InboxControl }

type Token = { expiresAt: number; subscribes: readonly string[] }

/** Reads what `kairan.tell` wrote or sent; null when it is not understood. */
export const parseUserChange = (text: string): UserChange | null => {
  const change = parseObject(text) ?? {}
  const { action, userId, streamId, control } = change
  if (action === 'reauthorize') return readReauthorize(change)
  if (typeof userId !== 'string') return null
  if (action === 'disconnect') return { userId, action }
  if (action === 'inbox') {
    return isInboxControl(control) ? { userId, action, control } : null
  }
  if (typeof streamId !== 'string') return null
  if (action === 'replace') return { userId, action, streamId }
  if (action === 'extend') {
    const { expiresAt, subscribes } = change
    if (typeof expiresAt !== 'number' || !isNames(subscribes)) return null
    return { userId, action, streamId, expiresAt, subscribes }
  }
  if (action === 'channels') {
    const { add, remove } = change
    return isNames(add) && isNames(remove) ? { userId, action, streamId, add, remove } : null
  }
  if (action === 'also') {
    return isNames(change.also) ? { userId, action, streamId, also: change.also } : null
  }
  return null
}

const readReauthorize = ({ userId, userIds }: Record<string, unknown>): UserChange | null => {
  const action = 'reauthorize'
  if (typeof userId === 'string') return { action, userIds: [userId] }
  if (isNames(userIds)) return { action, userIds }
  return userId === undefined && userIds === undefined ? { action, userIds: null } : null
}

const isNames = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every(name => typeof name === 'string')

const isInboxControl = (value: unknown): value is InboxControl =>
  isObject(value) && inboxControls.some(type => type === value.type)
