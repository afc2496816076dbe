import { type Code, statuses } from '../lib/errors.ts'
import { limits } from '../lib/limits.ts'
import type { Problem } from './problem.ts'
import { among, moment, orNull, type Schema, t, uuid, whole } from './schema.ts'

/** The name of a channel. */
export const channel = t.String({
  $id: 'Channel',
  description:
    "`user-{id}`, `all-users`, `admin-dashboard`, or a name of the application's own without spaces, commas and `*`.",
  // After user- comes a user id, which may have a *.
  pattern: '^(user-[^\\u0000-\\u0020\\u007f,]+|[^\\u0000-\\u0020\\u007f,*]+)$',
  maxLength: limits.channel,
})

/** The ids of notifications that a request is about. */
export const ids = t.Array(uuid(), { maxItems: limits.ids })

/** Where a page, or what was seen, ended. */
export const cursor = t.String({ pattern: '^[0-9a-z]{1,16}-[0-9]{1,17}$' })

/** A payload as clients get it: with `metadata`. */
const payload = t.Unsafe<
  Record<string, unknown> & { metadata: Record<string, unknown> & { deliveryChannel: string } }
>(
  t.Object({
    metadata: t.Object({ deliveryChannel: channel }),
  }),
)

/** The members of an event, as `jsonOf` in log/event.ts writes them. */
export const eventMembers = {
  channel,
  payload,
  id: orNull(uuid({ description: "The notification's id; null on the live path." })),
  type: orNull(t.String()),
  createdAt: t.String(),
  expiresAt: t.Optional(moment({ description: 'When the notification expires, if it does.' })),
}

/** The members of a count of unread and unseen notifications: see `Count` in inbox/inbox.ts. */
export const countMembers = {
  unread: whole({ minimum: 0 }),
  unreadIsLeast: t.Optional(t.Literal(true, { description: 'There may be more.' })),
  unseen: whole({ minimum: 0, description: 'How many of the unread ones were not seen, either.' }),
  unseenIsLeast: t.Optional(t.Literal(true, { description: 'There may be more.' })),
  unreadUntil: t.Optional(
    moment({
      description: 'When the first of the unread notifications expires, or a mute ends.',
    }),
  ),
  cursor: t.String({
    description:
      'The end of the log when they were counted. A stream from here carries what was not counted.',
  }),
  revision: t.Optional(
    whole({
      description:
        'Grows with each change of what is seen, read, archived or muted; absent before the first. Of two counts, the one with the higher revision is newer; with the same revision, the one with the higher cursor.',
    }),
  ),
}

/** A problem, as `problemOf` makes it. */
export const problemSchema: Schema<Problem> = t.Object(
  {
    type: t.Literal('about:blank'),
    title: t.String(),
    status: whole({ minimum: 400, maximum: 599 }),
    code: among(Object.keys(statuses) as Code[]),
    detail: t.String({ description: 'What was wrong, and what to do.' }),
  },
  { $id: 'Problem', additionalProperties: false },
)
