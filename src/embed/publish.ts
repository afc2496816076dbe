import { KairanError } from '../lib/errors.ts'
import { createTurns } from '../lib/turns.ts'
import { type Publish, type Published, readJsonRequest } from '../publish/request.ts'
import { runIn, type Transaction } from '../publish/transaction.ts'

/** How a notification is published. */
export type PublishOptions = {
  /** Like `order.shipped`. */
  type?: string | undefined
  /** With the same key it is published once. */
  dedupeKey?: string | undefined
  expiresAt?: Date | string | undefined
  /** Like `5m`: what a user has not received by then becomes a follow-up. For channels of users. */
  followUpAfter?: string | undefined
}

/** `publish` and `publishIn`. The first waits for `ready`, and rejects as that does. */
export const createPublishing = (options: { publish: Publish; ready(): Promise<void> }) => {
  // More would take the connections of requests.
  const turns = createTurns({ atOnce: 3, mostWaiting: 100_000, waitMs: 30_000 })
  return {
    async publish(
      channel: string | readonly string[],
      payload: object,
      how: PublishOptions = {},
    ): Promise<Published> {
      const { publication, body } = read(channel, payload, how)
      await options.ready()
      const [result] = await turns.run('', () => options.publish([publication], body, application))
      if (!result) throw new Error('A publication has no result')
      if (result instanceof KairanError) throw result
      return result
    },
    async publishIn(
      tx: Transaction,
      channel: string | readonly string[],
      payload: object,
      how: PublishOptions = {},
    ): Promise<{ id: string }> {
      const { publication } = read(channel, payload, how)
      const { channels, type, dedupeKey, expiresAt, followUpAfter } = publication
      const parameters = [
        JSON.stringify(channels),
        JSON.stringify(payload),
        type,
        dedupeKey,
        expiresAt,
        followUpAfter,
      ]
      const [row] = await runIn(tx, statement, parameters)
      if (typeof row?.id !== 'string') throw new Error('kairan.publish returned no id')
      return { id: row.id }
    },
  }
}

/** Whose dedupe keys these are. No user has this id. */
const application = ''

/** All parameters are text, which every driver passes on as it is. */
const statement = `select kairan.publish(
  array(select c from json_array_elements_text($1::text::json) with ordinality l (c, n) order by n),
  $2::text::jsonb, $3::text, $4::text, $5::text::timestamptz, follow_up_after => $6::text::interval
)::text as id`

/** Checks a notification as `POST /notifications` does. Throws `bad_notification`. */
const read = (channel: string | readonly string[], payload: object, how: PublishOptions) => {
  const { expiresAt, ...rest } = how
  const notification = {
    ...rest,
    channels: typeof channel === 'string' ? [channel] : channel,
    payload,
    expiresAt: expiresAt instanceof Date ? expiresAt.toISOString() : expiresAt,
  }
  const body = JSON.stringify(notification)
  const [publication] = readJsonRequest(JSON.parse(body), body, null).items
  if (!publication || publication instanceof KairanError) {
    throw publication ?? new Error('There is no publication')
  }
  return { publication, body }
}
