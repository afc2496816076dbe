import { operation } from '../http/operation.ts'
import { orNull, t } from '../http/schema.ts'
import { countMembers, eventMembers, ids } from '../http/shapes.ts'
import { inboxParameters } from './request.ts'

const item = t.Object(
  { ...eventMembers, cursor: t.String(), read: t.Boolean() },
  { additionalProperties: false },
)

/** What the routes of the inbox read and answer. */
export const inboxOperations = {
  'GET /notifications': operation({
    tag: 'Inbox',
    id: 'inbox',
    summary: "A page of the caller's inbox, newest first",
    query: inboxParameters,
    answers: {
      200: {
        description: 'A page. Page, count and cursor are read in one snapshot.',
        schema: t.Object(
          {
            notifications: t.Array(item),
            next: orNull(t.String({ description: 'The `before` of the next page.' })),
            ...countMembers,
          },
          { additionalProperties: false },
        ),
      },
    },
    problems: [400],
  }),
  'POST /notifications/read': operation({
    tag: 'Inbox',
    id: 'markRead',
    summary: 'Marks notifications of the caller as read or unread',
    body: t.Union([
      t.Object(
        { ids, read: t.Optional(t.Boolean({ default: true })) },
        { additionalProperties: false },
      ),
      t.Object(
        { upTo: t.String({ description: 'A cursor.' }), read: t.Optional(t.Literal(true)) },
        { additionalProperties: false },
      ),
      t.Object(
        { all: t.Literal(true), read: t.Optional(t.Literal(true)) },
        { additionalProperties: false },
      ),
    ]),
    answers: {
      200: {
        description: 'The number of unread notifications.',
        schema: t.Object(countMembers, { additionalProperties: false }),
      },
    },
    problems: [400],
  }),
  'POST /notifications/receipts': operation({
    tag: 'Inbox',
    id: 'confirm',
    summary: 'Confirms that notifications have arrived',
    body: t.Object({ ids }, { additionalProperties: false }),
    answers: { 204: { description: 'Recorded.' } },
    problems: [400],
  }),
}
