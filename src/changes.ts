import { parseObject } from './json.ts'

/** What an instance has to know of a user whose streams may be open here. */
export type UserChange = { id: number; userId: string } & (
  | { action: 'reauthorize' }
  | { action: 'disconnect' }
  | { action: 'replace'; streamId: string }
  | { action: 'extend'; streamId: string; expiresAt: number }
)

/** Reads what `kairan.tell` wrote or sent; null when it is not understood. */
export const parseUserChange = (text: string): UserChange | null => {
  const { id, action, userId, streamId, expiresAt } = parseObject(text) ?? {}
  if (typeof id !== 'number' || typeof userId !== 'string') return null
  if (action === 'reauthorize' || action === 'disconnect') return { id, userId, action }
  if (typeof streamId !== 'string') return null
  if (action === 'replace') return { id, userId, action, streamId }
  if (action === 'extend' && typeof expiresAt === 'number') {
    return { id, userId, action, streamId, expiresAt }
  }
  return null
}

/**
 * Hands on each change once. Every one comes twice: by NOTIFY, at once, and with the log, before whatever
 * was published after it.
 */
export const createChanges = (
  apply: (change: UserChange) => void,
  /** How many are remembered. What is older than that has come both ways, or never will. */
  most = 10_000,
): { hear(change: UserChange): void } => {
  const heard = new Set<number>()
  return {
    hear(change) {
      if (heard.has(change.id)) return
      heard.add(change.id)
      const [oldest] = heard
      if (heard.size > most && oldest !== undefined) heard.delete(oldest)
      apply(change)
    },
  }
}
