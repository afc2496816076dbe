import type { Agent } from 'node:https'
import type { Sql } from 'postgres'
import webPush from 'web-push'
import { type FollowUp, Undeliverable } from './follow-ups.ts'

type Subscription = { endpoint: string; p256dh: string; auth: string }

/** Sends a follow-up to all browsers of its user. The keys are of `web-push generate-vapid-keys`. */
export const createPusher = (
  sql: Sql,
  keys: { publicKey: string; privateKey: string },
  agent?: Agent,
) => {
  const vapidDetails = { subject: 'mailto:orders@shop.example', ...keys }

  /** Whether the browser's push service has it. */
  const push = async ({ endpoint, ...keys }: Subscription, followUp: FollowUp) => {
    const { id, type, payload } = followUp
    try {
      await webPush.sendNotification({ endpoint, keys }, JSON.stringify({ type, payload }), {
        ...{ vapidDetails, TTL: 3600, timeout: 10_000 },
        // One that waits is replaced by a repetition of itself.
        topic: `followup-${id}`,
        ...(agent ? { agent } : {}),
      })
      return true
    } catch (error) {
      const status = error instanceof webPush.WebPushError ? error.statusCode : 0
      // The user has withdrawn the permission, or the browser is gone.
      if (status !== 404 && status !== 410) throw error
      await sql`delete from push_subscriptions where endpoint = ${endpoint}`
      return false
    }
  }

  return async (followUp: FollowUp) => {
    const subscriptions = await sql<Subscription[]>`
      select endpoint, p256dh, auth from push_subscriptions where user_id = ${followUp.user_id}`
    const sent = await Promise.all(subscriptions.map(subscription => push(subscription, followUp)))
    if (!sent.includes(true)) throw new Undeliverable('No browser of this user takes pushes.')
  }
}
