import { createBoundedMap } from './bounded-map.ts'
import { KairanError } from './errors.ts'

/** Takes `count` from the bucket of a key. Throws `rate_limited` when less is left. */
export type Rate = (key: string, count?: number) => void

/**
 * A token bucket for each key: it fills by `perSecond` up to `burst`. It counts in this process only, and for the
 * 10,000 keys that were used last. It keeps the mistake of one program from harming others; it is no quota.
 */
export const createRate = (options: { perSecond: number; burst: number; what: string }): Rate => {
  const { perSecond, burst, what } = options
  const buckets = createBoundedMap<{ left: number; at: number }>(10_000)
  return (key, count = 1) => {
    const now = performance.now()
    const bucket = buckets.get(key) ?? { left: burst, at: now }
    const left = Math.min(burst, bucket.left + ((now - bucket.at) / 1000) * perSecond)
    if (left < count) {
      throw new KairanError('rate_limited', `Too many ${what}: at most ${perSecond} a second.`, {
        retryAfter: Math.ceil((count - left) / perSecond),
      })
    }
    buckets.set(key, { left: left - count, at: now })
  }
}
