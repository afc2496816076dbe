import type { ConnectionFacts } from '../../src/stream/subscription.ts'

/** What is known of a connection that a test makes up: it may read everything, and never ends by itself. */
export const facts = (userId: string): ConnectionFacts => ({
  userId,
  asked: undefined,
  expiresAt: 2 ** 40,
  endsAt: Number.POSITIVE_INFINITY,
  address: null,
  proof: null,
  isFirst: false,
})
