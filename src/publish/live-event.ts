import { isChannel } from '../auth/channels.ts'
import { excerpt, nameFaultOf } from '../lib/characters.ts'
import { isObject, parseObject } from '../lib/json.ts'
import { limits } from '../lib/limits.ts'
import type { Report } from '../lib/report.ts'
import { isUuid } from '../lib/uuid.ts'
import type { Event } from '../log/event.ts'

/**
 * Reads a NOTIFY of the live path: `{"channel", "payload", "notificationId"?, "type"?}`. Returns the event, or the
 * reason why it is refused. Any login can send that, so a refusal changes nothing that is stored.
 */
export const parseLive = (text: string, now: Date): { event: Event } | { reason: string } => {
  const message = parseObject(text)
  if (!message) return { reason: 'it is not the JSON of an object' }
  const { channel, payload, notificationId, type } = message
  if (!isChannel(channel)) {
    return { reason: `unknown channel ${excerpt(channel)}` }
  }
  if (notificationId !== undefined && !isUuid(notificationId)) {
    return { reason: `notificationId is no UUID: ${excerpt(notificationId)}` }
  }
  const refuse = (reason: string) => ({ reason })
  if (!isObject(payload)) return refuse(`the payload is not an object: ${excerpt(payload)}`)
  const { metadata, ...rest } = payload
  if (metadata !== undefined && metadata !== null && !isObject(metadata)) {
    return refuse(`payload.metadata is not an object: ${excerpt(metadata)}`)
  }
  if (type !== undefined && type !== null && typeof type !== 'string') {
    return refuse(`the type is not a string: ${excerpt(type)}`)
  }
  const fault = typeof type === 'string' ? nameFaultOf(type, limits.type) : null
  if (fault !== null) return refuse(`the type ${fault}: ${excerpt(type)}`)
  return {
    event: {
      seq: null,
      id: notificationId ?? null,
      channel,
      type: type ?? null,
      createdAt: now.toISOString(),
      expiresAt: null,
      payload: JSON.stringify(rest),
      metadata: metadata ? JSON.stringify({ ...metadata, deliveryChannel: undefined }) : null,
    },
  }
}

/** Counts live events that were refused, and reports one of them at most every `everyMs`. */
export const createLiveRefusals = (report: Report, everyMs = 10_000) => {
  let refused = 0
  let reportedAt = Number.NEGATIVE_INFINITY
  return {
    count(reason: string, text: string) {
      refused++
      const now = performance.now()
      if (now - reportedAt < everyMs) return
      reportedAt = now
      report.warn({ text: text.slice(0, 200), refused }, `A live event was refused: ${reason}.`)
    },
  }
}
