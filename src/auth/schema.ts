import { operation } from '../http/operation.ts'
import { moment, t } from '../http/schema.ts'
import { channel } from '../http/shapes.ts'

/** What the route of tickets reads and answers. */
export const ticketOperations = {
  'POST /notifications/tickets': operation({
    tag: 'Streams',
    id: 'createTicket',
    summary:
      'Issues a one-time ticket for an EventSource that can send neither a header nor a cookie',
    body: t.Object(
      {
        channels: t.Optional(
          t.Unsafe<readonly string[] | null>({
            description: 'The channels of the stream; null for all that its user may read.',
            anyOf: [{ type: 'array', minItems: 1, items: channel }, { type: 'null' }],
          }),
        ),
      },
      { additionalProperties: false },
    ),
    hasOptionalBody: true,
    answers: {
      201: {
        description: 'A ticket that opens one stream within 60 seconds.',
        schema: t.Object(
          { ticket: t.String(), expiresAt: moment() },
          { additionalProperties: false },
        ),
      },
    },
    problems: [400],
  }),
}
