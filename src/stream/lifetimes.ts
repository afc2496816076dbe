import { controlFrame } from '../log/event.ts'
import type { Hub } from './hub.ts'
import type { Subscription } from './subscription.ts'

export type Lifetimes = {
  start(): void
  /** Sends heartbeats at least this often from now on: where the server may close a quiet connection sooner. */
  heartbeatWithin(ms: number): void
  stop(): void
}

/** Sends heartbeats, and ends the streams whose time has come. */
export const createLifetimes = (options: {
  hub: Hub
  heartbeatMs: number
  /** Ends a stream whose client should reconnect. */
  sendAway(subscription: Subscription, reason: string): void
  /** Called again and again from when something that a subscription's user has muted should be heard again. */
  muteEnded(subscription: Subscription): void
}): Lifetimes => {
  const { hub, heartbeatMs, sendAway } = options
  let quietMs = heartbeatMs
  let timer: ReturnType<typeof setInterval> | null = null

  const tick = () => {
    const now = Date.now()
    // Before the heartbeats: after this process stood still, one that has just been queued is no proof of a stall.
    for (const subscription of hub.subscriptions()) check(subscription, now)
    hub.heartbeat(quietMs * 0.75)
  }

  const check = (subscription: Subscription, now: number) => {
    const { expiresAt, endsAt, queuedBytes, takenAt, mutes } = subscription
    if (mutes && now >= mutes.endsAt) options.muteEnded(subscription)
    if (now >= expiresAt) {
      subscription.close(controlFrame({ type: 'token_expired' }), 'token_expired')
    } else if (subscription.takeNotice(now)) {
      const at = new Date(expiresAt).toISOString()
      subscription.pushControl(controlFrame({ type: 'token_expiring', expiresAt: at }))
    } else if (now >= endsAt) {
      sendAway(subscription, 'age')
    } else if (queuedBytes > 0 && now - takenAt > heartbeatMs * 4) {
      // The idle timeout of the server ends the connection, see http/server.ts.
      subscription.close(null, 'stalled')
    }
  }

  return {
    start() {
      timer ??= setInterval(tick, Math.min(heartbeatMs / 8, 1000))
    },
    heartbeatWithin(ms) {
      quietMs = Math.min(quietMs, ms)
    },
    stop() {
      if (timer) clearInterval(timer)
      timer = null
    },
  }
}
