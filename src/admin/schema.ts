import { operation } from '../http/operation.ts'
import { among, moment, orNull, type Schema, t, uuid, whole } from '../http/schema.ts'
import type {
  AuditEntry,
  DeliveryRow,
  Matching,
  Moment,
  NotificationDetail,
  OnlineUser,
  Overview,
  StreamRow,
  SystemFacts,
} from './admin.ts'
import type { Explanation } from './explain.ts'
import type { FollowUpRow } from './follow-ups.ts'
import {
  auditPage,
  deliveryFilter,
  followUpFilter,
  onlinePage,
  question,
  scheduledFilter,
  streamFilter,
} from './request.ts'
import { type ScheduledRow, scheduledStates } from './scheduled.ts'

/** An object that has at least these members. The types of `admin.ts` say more: the dashboard is made with them. */
const having = <T>(...names: (keyof T & string)[]): Schema<T> =>
  t.Unsafe<T>({ type: 'object', required: names })

type Page<Name extends string, Row> = { [N in Name]: Row[] } & { next: string | null }

const forAdmins = <T>(id: string, summary: string, schema: Schema<T>, more: object = {}) =>
  operation({
    tag: 'Administration',
    id,
    summary,
    ...more,
    answers: { 200: { description: 'For users of the admin role level.', schema } },
    problems: [403],
  })

const scheduledRow: Schema<ScheduledRow> = t.Object({
  id: uuid({ description: 'The id that the notification will have.' }),
  channels: t.Array(t.String(), { description: 'The first ten of its channels.' }),
  channelCount: whole({ minimum: 1 }),
  type: orNull(t.String()),
  state: among(scheduledStates),
  sendAt: moment({ description: 'When it is sent.' }),
  createdAt: moment({ description: 'When it was scheduled.' }),
  expiresAt: orNull(moment()),
  publisher: t.String({ description: 'Who has scheduled it.' }),
  error: orNull(t.String({ description: 'Why it could not be published when it was due.' })),
})

/** What the routes of the dashboard read and answer that programs may ask, too. */
export const adminOperations = {
  'GET /admin/me': forAdmins(
    'adminMe',
    'The user who is signed in',
    having<{ userId: string; isReadOnly: boolean }>('userId', 'isReadOnly'),
  ),
  'GET /admin/overview': forAdmins(
    'adminOverview',
    'Figures of all instances',
    having<Overview>(
      ...(['now', 'instances', 'users', 'head', 'floor'] as const),
      ...(['unnumbered', 'pending', 'queueUsage'] as const),
    ),
  ),
  'GET /admin/history': forAdmins(
    'adminHistory',
    'What the charts show of the last quarter of an hour',
    having<{ moments: Moment[] }>('moments'),
  ),
  'GET /admin/streams': forAdmins(
    'adminStreams',
    'Open streams, newest first',
    having<Page<'streams', StreamRow>>('streams', 'next'),
    { query: streamFilter },
  ),
  'GET /admin/presence': forAdmins(
    'adminPresence',
    'Users who are online, or on one channel',
    having<Page<'users', OnlineUser>>('users', 'next'),
    { query: onlinePage },
  ),
  'GET /admin/deliveries': forAdmins(
    'adminDeliveries',
    'Deliveries, newest first',
    having<Page<'deliveries', DeliveryRow>>('deliveries', 'next'),
    { query: deliveryFilter },
  ),
  'GET /admin/deliveries/count': forAdmins(
    'adminCountDeliveries',
    'How many deliveries POST /admin/redeliver would redeliver, of the newest 100,000',
    having<Matching>('matching', 'isMore'),
    { query: deliveryFilter },
  ),
  'GET /admin/notifications/:id': forAdmins(
    'adminNotification',
    'A notification with its deliveries',
    having<NotificationDetail>('id', 'type', 'payload', 'createdAt', 'deliveries'),
    { params: { id: uuid() } },
  ),
  'GET /admin/explain': forAdmins(
    'adminExplain',
    'Why a user did not get a notification',
    having<Explanation & { followUp: string | null }>(
      ...(['outcome', 'sentence', 'channel', 'deliveredAt'] as const),
      ...(['recipients', 'streams', 'followUp'] as const),
    ),
    { query: question },
  ),
  'GET /admin/follow-ups': forAdmins(
    'adminFollowUps',
    'What was not received in time, and what became of it, newest first',
    having<Page<'followUps', FollowUpRow>>('followUps', 'next'),
    { query: followUpFilter },
  ),
  'GET /admin/scheduled': forAdmins(
    'adminScheduled',
    'What is scheduled, what is due first before the others',
    t.Object({ scheduled: t.Array(scheduledRow), next: orNull(t.String()) }),
    { query: scheduledFilter },
  ),
  'GET /admin/audit': forAdmins(
    'adminAudit',
    'What operators did, newest first',
    having<Page<'entries', AuditEntry>>('entries', 'next'),
    { query: auditPage },
  ),
  'GET /admin/system': forAdmins(
    'adminSystem',
    'Version, settings, migrations, tables',
    having<SystemFacts & { version: string; bun: string; settings: object }>(
      ...(['version', 'bun', 'postgres', 'settings', 'migrations', 'tables'] as const),
    ),
  ),
}
