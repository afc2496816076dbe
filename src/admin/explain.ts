import { isOfApplication } from '../auth/channels.ts'
import type { Readable } from '../auth/standing.ts'
import type { DeliveryFacts } from './admin.ts'

/** Why a user did or did not get a notification. */
export type Explanation = {
  outcome:
    | 'not_published'
    | 'not_addressed'
    | 'not_authorised'
    | 'expired'
    | 'scheduled'
    | 'muted'
    | 'failed'
    | 'pending'
    | 'delivered'
  /** The outcome as a sentence, with what to do. */
  sentence: string
  channel: string | null
  deliveredAt: string | null
  recipients: number
  streams: number
}

/**
 * Explains why a user did or did not get a notification. Of several deliveries it uses the one that reached the user,
 * or could have. `readable` are the channels that the user may read now.
 */
export const explain = (facts: DeliveryFacts, userId: string, readable: Readable): Explanation => {
  const { deliveries, streams } = facts
  const own = deliveries.filter(({ channel }) => readable.includes(channel))
  const best = order.map(status => own.find(delivery => delivery.status === status)).find(Boolean)
  const answer = (outcome: Explanation['outcome'], sentence: string): Explanation => ({
    outcome,
    sentence,
    channel: best?.channel ?? null,
    deliveredAt: best?.deliveredAt ?? null,
    recipients: best?.recipients ?? 0,
    streams,
  })

  if (facts.sendAt !== null) {
    if (facts.sendError !== null) {
      return answer('failed', `It could not be sent at ${facts.sendAt}: ${facts.sendError}.`)
    }
    return answer(
      'scheduled',
      facts.isOverdue
        ? `It should have been sent at ${facts.sendAt}. No instance that numbers has done so: either none runs, or a transaction that is open holds its lock. The overview says more.`
        : `It is scheduled: it will be sent at ${facts.sendAt}.`,
    )
  }
  if (!facts.isPublished) {
    return answer(
      'not_published',
      'There is no such notification. It was rolled back or refused, or RETENTION has removed it.',
    )
  }
  const addressed = deliveries.map(({ channel }) => channel)
  if (!best) {
    if (addressed.includes('admin-dashboard')) {
      return answer(
        'not_authorised',
        `It went to ${list(addressed)}, and the role level of ${userId} is too low for admin-dashboard.`,
      )
    }
    const joinable = addressed.find(isOfApplication)
    return joinable === undefined
      ? answer('not_addressed', `It went to ${list(addressed)}, which ${userId} does not read.`)
      : answer(
          'not_authorised',
          `It went to ${list(addressed)}. Now ${userId} is no member of ${joinable}: kairan.members and ` +
            'CHANNELS_QUERY do not say so. The claim kairan:subscribe of a token is not known here.',
        )
  }
  if (facts.isWithdrawn) return answer('failed', 'It was withdrawn: nobody is shown it any more.')
  const muted = mutedBy(facts, own)
  if (muted && !(best.status === 'delivered' && best.channel === `user-${userId}`)) {
    const until = muted.until === null ? '' : `, until ${muted.until}`
    return answer(
      'muted',
      `${muted.type ?? muted.channel} was muted by the user at ${muted.since}${until}: it is neither sent nor in the inbox.`,
    )
  }
  if (best.status === 'delivered') {
    const whose =
      best.channel === `user-${userId}`
        ? `${count(best.recipients, 'stream')} of ${userId} took it`
        : `${count(best.recipients, 'stream')} took it; whether one of ${userId} did, its receipts say`
    return answer('delivered', `Delivered on ${best.channel} at ${best.deliveredAt}: ${whose}.`)
  }
  if (facts.isExpired || best.error === 'expired') {
    return answer('expired', `It expired at ${facts.expiresAt}, before any stream had taken it.`)
  }
  if (best.status === 'failed')
    return answer('failed', `It failed on ${best.channel}: ${best.error}.`)
  return answer(
    'pending',
    streams === 0
      ? `It waits on ${best.channel}: ${userId} has no stream open, and gets it when one is opened.`
      : `It waits on ${best.channel} although ${userId} has ${count(streams, 'stream')} open. They may be narrowed by ?channels= or lag behind, or no instance numbers. The overview says more.`,
  )
}

/** The mute by which a user gets nothing of a notification: one of its type, or of the last of its channels. */
const mutedBy = ({ mutes }: DeliveryFacts, own: DeliveryFacts['deliveries']) => {
  const ofType = mutes.find(({ type }) => type !== null)
  if (ofType) return ofType
  const isMuted = (channel: string) => mutes.some(mute => mute.channel === channel)
  return own.every(({ channel }) => isMuted(channel)) ? mutes.at(-1) : undefined
}

/** The most telling status first. */
const order = ['delivered', 'pending', 'failed']

const count = (number: number, what: string) => `${number} ${what}${number === 1 ? '' : 's'}`

const list = (channels: string[]) =>
  channels.length > 3
    ? `${channels.slice(0, 3).join(', ')} and ${channels.length - 3} more`
    : channels.join(', ') || 'no channel'
