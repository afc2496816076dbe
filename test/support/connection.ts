import type { Standings } from '../../src/auth/standing.ts'
import type { ConnectionFacts } from '../../src/stream/subscription.ts'

/** What is known of a connection that a test makes up: it may read everything, and never ends by itself. */
export const facts = (userId: string): ConnectionFacts => ({
  userId,
  asked: undefined,
  subscribes: [],
  expiresAt: 2 ** 40,
  endsAt: Number.POSITIVE_INFINITY,
  address: null,
  proof: null,
  isFirst: false,
})

/** Standings of users who have a role level, and no channel of the application. */
export const standingsOf = (
  levelOf: (userId: string) => Promise<number>,
  atOnce = 4,
): Standings => ({
  of: async userId => ({ roleLevel: await levelOf(userId), channels: [], isCut: false }),
  pick: async () => [],
  count: async () => 0,
  check: async () => [],
  atOnce,
})
