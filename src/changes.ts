import { parseObject } from './json.ts'

/** What an instance has to know of a user whose streams may be open here. */
export type UserChange = { userId: string } & (
  | { action: 'reauthorize' }
  | { action: 'disconnect' }
  | { action: 'replace'; streamId: string }
  | { action: 'extend'; streamId: string; expiresAt: number }
)

/** Reads what `kairan.tell` wrote or sent; null when it is not understood. */
export const parseUserChange = (text: string): UserChange | null => {
  const { action, userId, streamId, expiresAt } = parseObject(text) ?? {}
  if (typeof userId !== 'string') return null
  if (action === 'reauthorize' || action === 'disconnect') return { userId, action }
  if (typeof streamId !== 'string') return null
  if (action === 'replace') return { userId, action, streamId }
  if (action === 'extend' && typeof expiresAt === 'number') {
    return { userId, action, streamId, expiresAt }
  }
  return null
}
