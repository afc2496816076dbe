import { operation } from '../http/operation.ts'
import { moment, orNull, t } from '../http/schema.ts'
import { channel, countMembers, cursor, eventMembers, ids } from '../http/shapes.ts'
import { limits } from '../lib/limits.ts'
import { channelParameters, inboxParameters } from './request.ts'

const item = t.Object(
  { ...eventMembers, cursor: t.String(), read: t.Boolean() },
  { additionalProperties: false },
)

const counted = {
  description: 'How many notifications are unread and unseen now.',
  schema: t.Object(countMembers, { additionalProperties: false }),
}

const until = t.Optional(orNull(moment({ description: 'From then on it is not muted any more.' })))

const preferences = t.Object(
  {
    mute: t.Array(
      t.Union([
        t.Object(
          {
            type: t.String({
              description: 'A type, or a beginning of types and a star: `news.*`.',
              minLength: 1,
              maxLength: limits.type + 1,
            }),
            until,
          },
          { additionalProperties: false },
        ),
        t.Object({ channel, until }, { additionalProperties: false }),
      ]),
      { maxItems: limits.mutes },
    ),
  },
  { additionalProperties: false },
)

const preferred = { description: 'What is muted now.', schema: preferences }

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
    query: channelParameters,
    body: t.Union([
      t.Object(
        { ids, read: t.Optional(t.Boolean({ default: true })) },
        { additionalProperties: false },
      ),
      t.Object(
        { upTo: cursor, read: t.Optional(t.Literal(true)) },
        { additionalProperties: false },
      ),
      t.Object(
        { all: t.Literal(true), read: t.Optional(t.Literal(true)) },
        { additionalProperties: false },
      ),
    ]),
    answers: { 200: counted },
    problems: [400],
  }),
  'POST /notifications/seen': operation({
    tag: 'Inbox',
    id: 'markSeen',
    summary: 'Marks all up to a cursor as seen by the caller',
    query: channelParameters,
    body: t.Object({ upTo: cursor }, { additionalProperties: false }),
    answers: { 200: counted },
    problems: [400],
  }),
  'POST /notifications/archive': operation({
    tag: 'Inbox',
    id: 'archive',
    summary: 'Takes notifications of the caller into the archive, or back',
    query: channelParameters,
    body: t.Object(
      { ids, archived: t.Optional(t.Boolean({ default: true })) },
      { additionalProperties: false },
    ),
    answers: { 200: counted },
    problems: [400],
  }),
  'GET /notifications/preferences': operation({
    tag: 'Inbox',
    id: 'preferences',
    summary: 'What the caller has muted',
    answers: { 200: preferred },
  }),
  'PUT /notifications/preferences': operation({
    tag: 'Inbox',
    id: 'setPreferences',
    summary: 'Replaces what the caller has muted',
    body: preferences,
    answers: { 200: preferred },
    problems: [400],
  }),
  'POST /notifications/receipts': operation({
    tag: 'Inbox',
    id: 'confirm',
    summary: 'Confirms that notifications have arrived',
    query: channelParameters,
    body: t.Object({ ids }, { additionalProperties: false }),
    answers: { 204: { description: 'Recorded.' } },
    problems: [400],
  }),
}
