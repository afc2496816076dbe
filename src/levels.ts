import type { LevelOf } from './roles.ts'

export type Levels = {
  /** The role level of a user: the one that is remembered, or else looked up. Rejects as the look-up does. */
  levelOf: LevelOf
  /** Forgets the level of a user, or of everybody: it may have changed. */
  forget(userId?: string): void
}

/** At most so many levels are remembered; then the one that was looked up first is forgotten. */
const maxRemembered = 100_000

/**
 * Remembers role levels, so that thousands of clients who come back at once don't ask the database for each.
 * A level is looked up again after `keepMs`, when it was said to have changed, and always while `isTold()`
 * is false: nothing would say so then.
 */
export const createLevels = (options: {
  lookUp: LevelOf
  keepMs: number
  isTold(): boolean
}): Levels => {
  const remembered = new Map<string, { level: number; until: number }>()
  /** How often something was said to have changed: what was asked before is not remembered after. */
  let changes = 0

  const levelOf = async (userId: string): Promise<number> => {
    if (!options.isTold()) return options.lookUp(userId)
    const known = remembered.get(userId)
    if (known && known.until > Date.now()) return known.level
    const before = changes
    const level = await options.lookUp(userId)
    if (before === changes) remember(userId, level)
    return level
  }

  const remember = (userId: string, level: number) => {
    remembered.delete(userId)
    remembered.set(userId, { level, until: Date.now() + options.keepMs })
    if (remembered.size <= maxRemembered) return
    const [oldest] = remembered.keys()
    if (oldest !== undefined) remembered.delete(oldest)
  }

  return {
    levelOf,
    forget(userId) {
      changes++
      if (userId === undefined) remembered.clear()
      else remembered.delete(userId)
    },
  }
}
