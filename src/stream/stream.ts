import { controlFrame, openingFrame, reconnectFrame } from '../log/event.ts'
import { type BacklogParts, type Beginning, begin, catchUp, type Missed } from './backlog.ts'
import type { Subscription } from './subscription.ts'

export type StreamParts = BacklogParts & {
  /** Called with the error that ended a stream. */
  failed(error: unknown): void
  /** Called when a stream has ended. */
  ended(subscription: Subscription): void
  /** Mean of the jittered `retry:`, in milliseconds. */
  retryMs: number
}

/**
 * One connection's life: the opening, what it has missed, then live until its subscription is closed.
 * The subscription is given back however the stream ends.
 */
export async function* stream(
  subscription: Subscription,
  beginning: Beginning,
  parts: StreamParts,
): AsyncGenerator<Uint8Array, void> {
  const { hub, writeBytes } = parts
  try {
    yield openingFrame(jitter(parts.retryMs), beginning.mayHaveRest)
    // Not `yield*`: a generator keeps what it delegated to, half a KiB, for as long as it lives.
    let missed: Missed | null = begin(subscription, beginning, parts)
    while (missed || !subscription.closed) {
      if (missed) {
        const { done, value } = await missed.next()
        if (done) missed = null
        else yield value
        continue
      }
      await subscription.settled()
      if (subscription.closed) break
      const lag = subscription.takeLag()
      if (lag) {
        parts.metrics.lagging()
        yield controlFrame({ type: 'lagging', ...lag })
      } else if (hub.tryGoLive(subscription)) {
        const queued = subscription.take(writeBytes)
        if (queued.length > 0) {
          yield parts.coalesce(queued)
          subscription.noteTaken()
          parts.taken(queued, subscription)
        } else await subscription.wait()
      } else missed = catchUp(subscription, parts)
    }
    if (subscription.farewell) yield subscription.farewell
  } catch (error) {
    // The log can't be read. The client returns with its cursor, perhaps to another instance.
    parts.failed(error)
    subscription.close(reconnectFrame('unavailable', jitter(parts.retryMs)), 'unavailable')
    if (subscription.farewell) yield subscription.farewell
  } finally {
    hub.unsubscribe(subscription)
    parts.ended(subscription)
  }
}

/** A random time with the mean `ms`, so that clients which left together don't return together. */
export const jitter = (ms: number) => Math.round(ms * (0.5 + Math.random()))
