import { Elysia } from 'elysia'
import type { Rate } from '../lib/rate-limit.ts'
import type { Auth } from './auth.ts'

/** The macro `caller`, see `createCaller`. */
export type CallerPlugin = ReturnType<typeof createCaller>

/**
 * The opening of every route that needs to know who asks, as a macro: `caller: { rate }`, where `rate` limits the
 * requests of each user, or is null. The route gets the caller in its context, or ends before its body is read: as
 * `requireStarted` and `identify` throw, or with `rate_limited`.
 */
export const createCaller = (options: {
  identify: Auth['identify']
  /** Throws while there may be no table to read or to write. */
  requireStarted(): void
}) =>
  new Elysia({ name: 'caller' }).macro({
    caller: ({ rate }: { rate: Rate | null }) => ({
      async resolve({ request }) {
        options.requireStarted()
        const caller = await options.identify(request)
        rate?.(caller.userId)
        return { caller }
      },
    }),
  })
