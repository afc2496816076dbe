import { operation } from '../http/operation.ts'
import { among, moment, orNull, t, uuid } from '../http/schema.ts'
import { channel, problemSchema } from '../http/shapes.ts'
import { limits } from '../lib/limits.ts'

const absent = t.Optional(t.Null())

/** The members of a notification besides its channels. */
const others = {
  payload: t.Unsafe<object>({ type: 'object' }),
  type: t.Optional(
    orNull(
      t.String({
        description: 'What happened, for example order.shipped.',
        maxLength: limits.type,
      }),
    ),
  ),
  dedupeKey: t.Optional(
    orNull(
      t.String({
        description: 'Repeated requests with the same key publish once.',
        maxLength: limits.dedupeKey,
      }),
    ),
  ),
  expiresAt: t.Optional(
    orNull(moment({ description: 'After this time the notification is not sent.' })),
  ),
  sendAt: t.Optional(
    orNull(moment({ description: 'It is sent at this time instead of at once.' })),
  ),
  followUpAfter: t.Optional(
    orNull(
      t.String({
        description:
          'A time like 5m. What a user has not received by then becomes a row of kairan.follow_ups. From 1s to 30d, for channels of users only.',
        pattern: '^[0-9]{1,6}[smhd]$',
      }),
    ),
  ),
}

const channels = t.Unsafe<readonly string[]>({
  type: 'array',
  items: channel,
  minItems: 1,
  maxItems: limits.channels,
})

/** A notification to publish. SQL checks what is not a matter of types: see `publish.sql`. */
const publication = t.Union(
  [
    t.Object({ channel, channels: absent, ...others }, { additionalProperties: false }),
    t.Object({ channels, channel: absent, ...others }, { additionalProperties: false }),
  ],
  { $id: 'Publication' },
)

/** The members that a notification may have. */
export const publicationMembers: readonly string[] = ['channel', 'channels', ...Object.keys(others)]

const published = t.Object({ id: uuid() }, { $id: 'Published', additionalProperties: false })

const results = t.Object(
  {
    results: t.Array(
      t.Union([
        t.Object({ status: among([200, 201]), id: uuid() }, { additionalProperties: false }),
        problemSchema,
      ]),
    ),
  },
  { additionalProperties: false },
)

/** The members of a form: `channel` any number of times. */
const form = t.Object({
  channel: t.String(),
  payload: t.String({ contentMediaType: 'application/json' }),
  type: t.Optional(t.String()),
  dedupeKey: t.Optional(t.String()),
  expiresAt: t.Optional(moment()),
  sendAt: t.Optional(moment()),
  followUpAfter: t.Optional(t.String()),
})

/** What the routes of publishing read and answer. */
export const publishOperations = {
  'POST /notifications': operation({
    tag: 'Publishing',
    id: 'publish',
    summary: `Publishes a notification, or up to ${limits.batch}`,
    description:
      'Needs a token with the scope `kairan:publish`. Its claim `kairan:channels` can limit the channels.',
    headers: {
      'Idempotency-Key': t.String({
        description: 'The same as `dedupeKey`, for one notification.',
        maxLength: limits.dedupeKey + 2,
      }),
    },
    body: t.Union([
      publication,
      t.Object(
        { notifications: t.Array(publication, { minItems: 1, maxItems: limits.batch }) },
        { additionalProperties: false },
      ),
    ]),
    form,
    answers: {
      201: { description: 'The notification was published.', schema: published },
      200: {
        description:
          'The key was used before, and this is the id of the first notification. For a batch, the results.',
        schema: t.Union([published, results]),
      },
    },
    problems: [400, 403, 413, 429, 503],
  }),
  'DELETE /notifications/:id': operation({
    tag: 'Publishing',
    id: 'withdraw',
    summary: 'Withdraws a notification',
    description:
      'Needs a token that may publish on each of its channels. Repeating it is no error.',
    params: { id: uuid() },
    answers: { 204: { description: 'It is withdrawn.' } },
    problems: [403, 404, 429, 503],
  }),
}
