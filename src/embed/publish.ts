import { excerpt } from '../lib/characters.ts'
import { KairanError } from '../lib/errors.ts'
import { createTurns } from '../lib/turns.ts'
import { isUuid } from '../lib/uuid.ts'
import { type Publish, type Published, readJsonRequest } from '../publish/request.ts'
import { runIn, type Transaction } from '../publish/transaction.ts'

/** How a notification is published. */
export type PublishOptions = {
  /** Like `order.shipped`. */
  type?: string | undefined
  /** With the same key it is published once. */
  dedupeKey?: string | undefined
  expiresAt?: Date | string | undefined
  /** When it is sent; at once without it. */
  sendAt?: Date | string | undefined
  /** Like `5m`: what a user has not received by then becomes a follow-up. For channels of users. */
  followUpAfter?: string | undefined
}

/** `publish`, `withdraw`, and both in a transaction. The first two wait for `ready`, and reject as that does. */
export const createPublishing = (options: {
  publish: Publish
  withdraw(id: string): Promise<boolean>
  ready(): Promise<void>
}) => {
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
      const { channels, type, dedupeKey, expiresAt, sendAt, followUpAfter } = publication
      const parameters = [
        JSON.stringify(channels),
        JSON.stringify(payload),
        type,
        dedupeKey,
        expiresAt,
        followUpAfter,
        sendAt,
      ]
      const [row] = await runIn(tx, statement, parameters)
      if (typeof row?.id !== 'string') throw new Error('kairan.publish returned no id')
      return { id: row.id }
    },
    async withdraw(id: string): Promise<boolean> {
      const known = uuidOf(id)
      await options.ready()
      return turns.run('', () => options.withdraw(known))
    },
    async withdrawIn(tx: Transaction, id: string): Promise<boolean> {
      const [row] = await runIn(tx, withdrawal, [uuidOf(id)])
      return row?.done === 'true'
    },
  }
}

/** Whose dedupe keys these are. No user has this id. */
const application = ''

/** All parameters are text, which every driver passes on as it is. */
const statement = `select kairan.publish(
  array(select c from json_array_elements_text($1::text::json) with ordinality l (c, n) order by n),
  $2::text::jsonb, $3::text, $4::text, $5::text::timestamptz, follow_up_after => $6::text::interval,
  send_at => $7::text::timestamptz
)::text as id`

const withdrawal = 'select kairan.withdraw($1::text::uuid)::text as done'

const uuidOf = (id: string) => {
  if (isUuid(id)) return id
  throw new KairanError('bad_request', `A notification has a UUID for an id, not ${excerpt(id)}.`)
}

const textOf = (time: Date | string | undefined) =>
  time instanceof Date ? time.toISOString() : time

/** Checks a notification as `POST /notifications` does. Throws `bad_notification`. */
const read = (channel: string | readonly string[], payload: object, how: PublishOptions) => {
  const { expiresAt, sendAt, ...rest } = how
  const notification = {
    ...rest,
    channels: typeof channel === 'string' ? [channel] : channel,
    payload,
    expiresAt: textOf(expiresAt),
    sendAt: textOf(sendAt),
  }
  const body = JSON.stringify(notification)
  const [publication] = readJsonRequest(JSON.parse(body), body, null).items
  if (!publication || publication instanceof KairanError) {
    throw publication ?? new Error('There is no publication')
  }
  return { publication, body }
}
