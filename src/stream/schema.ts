import { operation } from '../http/operation.ts'
import { among, moment, orNull, t, uuid, whole } from '../http/schema.ts'
import { channel, countMembers, eventMembers } from '../http/shapes.ts'

/** The data of an event. */
const event = t.Object(eventMembers, { $id: 'Event', additionalProperties: false })

const names = t.Array(t.String())

const idList = t.Array(uuid())

/** Why a stream ends, when its client should come back. */
const reasons = [
  ...['draining', 'age', 'starting', 'unavailable', 'overloaded', 'address'],
  ...['lagging', 'too_many_channels'],
]

/** The data of a `control` event, for each of its types. */
const control = t.Union(
  [
    t.Object({
      type: t.Literal('ready'),
      resumed: t.Boolean(),
      cursor: t.String(),
      head: t.String({
        description: 'Events up to this cursor were published before the stream began.',
      }),
      streamId: uuid(),
    }),
    t.Object(
      { type: t.Literal('also'), channels: names, extra: names, refused: names },
      {
        description:
          "What became of the channels of `?also=`. Told after `ready`, after each change of them, and when the user's rights to them change.",
      },
    ),
    t.Object({
      type: t.Literal('gap'),
      reason: among(['retention', 'limit', 'log']),
      from: t.String(),
      to: t.String(),
      missed: t.Optional(whole({})),
    }),
    t.Object({ type: t.Literal('reconnect'), reason: among(reasons), afterMs: whole({}) }),
    t.Object({ type: t.Literal('preferences') }),
    t.Object({ type: t.Literal('withdrawn'), ids: idList }),
    t.Object({
      type: t.Literal('lagging'),
      lost: whole({ description: 'How many live events were lost.' }),
    }),
    t.Object({ type: t.Literal('token_expiring'), expiresAt: moment() }),
    t.Object({ type: among(['replaced', 'token_expired', 'revoked']) }),
    t.Object({
      type: among(['read', 'unread', 'seen', 'archived', 'unarchived']),
      ...countMembers,
      // Where the user has too many channels, nobody counts all.
      unread: t.Optional(countMembers.unread),
      unseen: t.Optional(countMembers.unseen),
      cursor: t.Optional(countMembers.cursor),
      channels: t.Optional(names),
      ids: t.Optional(idList),
      upTo: t.Optional(t.String()),
      all: t.Optional(t.Literal(true)),
    }),
  ],
  { $id: 'Control' },
)

/** JSON within the `data` of an item. OpenAPI 3.2 names its schema beside it. */
const json = (contentSchema: object) =>
  t.Unsafe<string>({ type: 'string', contentMediaType: 'application/json', contentSchema })

const channels = t.Unsafe<readonly string[]>({ type: 'array', items: channel })

/** What changes the channels of an open stream. */
const channelChange = t.Object(
  { add: t.Optional(orNull(channels)), remove: t.Optional(orNull(channels)) },
  { additionalProperties: false },
)

/** The members that such a change may have. */
export const changeMembers: readonly string[] = Object.keys(channelChange.properties)

/** Instead of it: all channels that the stream carries besides its own from now on. */
const channelsBesides = t.Object({ also: names }, { additionalProperties: false })

/** What a stream carries. */
const item = t.Union(
  [
    t.Object(
      {
        id: t.Optional(
          t.String({
            description:
              'The cursor; absent for live events. On the stream of a ticket it ends with a proof.',
          }),
        ),
        event: t.Optional(t.Literal('message')),
        data: json(event),
      },
      { $id: 'EventItem' },
    ),
    t.Object(
      { id: t.Optional(t.String()), event: t.Literal('control'), data: json(control) },
      { $id: 'ControlItem' },
    ),
    t.Object(
      {
        id: t.Optional(t.String({ description: 'Only on the stream of a ticket: its proof.' })),
        event: t.Literal('ping'),
        data: t.Literal('connected'),
      },
      { $id: 'PingItem' },
    ),
  ],
  {
    description:
      'Besides these: `retry:` fields, comments as heartbeats, and one `ping` whose data is `connected`.',
  },
)

const streamId = t.String({ description: "The `streamId` of the stream's `ready` event." })

/** What the routes of streams read and answer. */
export const streamOperations = {
  'GET /notifications/stream': operation({
    tag: 'Streams',
    id: 'openStream',
    summary: "The events of the caller's channels, as they are published",
    description: `Events come in commit order, first those that were missed since \`Last-Event-ID\`. When the stream is not possible now (draining,
overloaded, database down), the answer is 200 with a \`control\` event of type \`reconnect\`, which says when to return, and ends:
an EventSource gives up for good on any other status.`,
    security: ['bearer', 'cookie', 'ticket'],
    query: {
      channels: {
        schema: t.Unsafe<string | readonly string[]>({
          type: 'string',
          description:
            'The channels of the stream, separated by commas or as several parameters. Without it, all that the user may read by name, at most `MAX_CHANNELS`.',
          examples: ['user-42,all-users'],
        }),
      },
      also: {
        schema: t.Unsafe<string | readonly string[]>({
          type: 'string',
          description:
            'Channels that the stream carries besides, as far as the user may read them. The control event `also` says which are refused, and which the stream would not carry unasked.',
          examples: ['order:42,run-7'],
        }),
      },
      last_event_id: {
        schema: t.String({
          description:
            'The same as Last-Event-ID, for clients that cannot send the header. Also as `lastEventId`.',
        }),
      },
    },
    headers: {
      'Last-Event-ID': t.String({
        description:
          'The id of the last event. EventSource sends it when it reconnects. An id of another server is answered with a `gap`.',
        examples: ['c2d20b55-17'],
      }),
    },
    answers: {
      200: { description: 'The stream.', type: 'text/event-stream', item },
      405: { description: 'Only GET is allowed.' },
      406: {
        description: 'A page for a person who opened the address in a browser.',
        type: 'text/html',
        schema: t.String(),
      },
    },
    problems: [400, 403],
  }),
  'POST /notifications/stream/:streamId/token': operation({
    tag: 'Streams',
    id: 'extendStream',
    summary: 'Lets an open stream continue until a new token expires',
    description:
      'Send the new token as bearer or in the cookie. The stream then carries what its user may read now.',
    params: { streamId },
    answers: {
      200: {
        description: 'When the stream ends.',
        schema: t.Object({ expiresAt: moment() }, { additionalProperties: false }),
      },
    },
    problems: [404],
  }),
  'POST /notifications/stream/:streamId/channels': operation({
    tag: 'Streams',
    id: 'changeChannels',
    summary: 'Adds and removes channels of an open stream',
    description: 'The stream may be on any instance. It goes on without reconnecting.',
    params: { streamId },
    body: t.Union([channelChange, channelsBesides]),
    answers: {
      200: {
        description: 'The channels that the stream carries now.',
        schema: t.Object({ channels: t.Array(channel) }, { additionalProperties: false }),
      },
      202: {
        description:
          'Those of `also`: the control event `also` of the stream says what became of them.',
        schema: channelsBesides,
      },
    },
    problems: [400, 403, 404],
  }),
}
