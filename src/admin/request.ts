import { isChannel, isUserId } from '../auth/channels.ts'
import { readMembers } from '../http/body.ts'
import { optional, position, readQuery, required, time, wholeNumber } from '../http/query.ts'
import { nameFaultOf } from '../lib/characters.ts'
import { limits } from '../lib/limits.ts'
import { isUuid } from '../lib/uuid.ts'
import { type AuditPage, type DeliveryFilter, type StreamFilter, statuses } from './admin.ts'
import { type FollowUpFilter, followUpStates } from './follow-ups.ts'
import { type ScheduledFilter, scheduledStates } from './scheduled.ts'

/** Reads the query of `GET /admin/streams`. Throws `bad_request`. */
export const readStreamFilter = (request: Request): StreamFilter => readQuery(request, streamFilter)

/** Reads the query of `GET /admin/deliveries`. Throws `bad_request`. */
export const readDeliveryFilter = (request: Request): DeliveryFilter =>
  readQuery(request, deliveryFilter)

/** What `POST /admin/redeliver` puts back: a notification, on one channel or on all, or what a filter matches. */
export type Redelivery =
  | { notification: string; channel: string | null }
  | { notification: null; filter: DeliveryFilter }

/** Reads the body of `POST /admin/redeliver`. Throws `bad_request`. */
export const readRedelivery = (body: Record<string, unknown>): Redelivery =>
  body.notification === undefined
    ? { notification: null, filter: readMembers(body, deliveryFilter) }
    : readMembers(body, {
        notification: required(isUuid, notificationId),
        channel: optional(isChannel, channelName),
      })

/** Reads the query of `GET /admin/explain`. Throws `bad_request`. */
export const readQuestion = (request: Request) => readQuery(request, question)

/** Reads the query of `GET /admin/presence`. Throws `bad_request`. */
export const readOnlinePage = (request: Request) => readQuery(request, onlinePage)

/** Reads the query of `GET /admin/audit`. Throws `bad_request`. */
export const readAuditPage = (request: Request): AuditPage => readQuery(request, auditPage)

/** Reads the query of `GET /admin/follow-ups`. Throws `bad_request`. */
export const readFollowUpFilter = (request: Request): FollowUpFilter =>
  readQuery(request, followUpFilter)

/** Reads the body of `POST /admin/follow-ups/retry`. Throws `bad_request`. */
export const readFollowUpId = (body: Record<string, unknown>) =>
  readMembers(body, { id: required(isSeq, "a follow-up's id") })

/** Reads the query of `GET /admin/scheduled`. Throws `bad_request`. */
export const readScheduledFilter = (request: Request): ScheduledFilter =>
  readQuery(request, scheduledFilter)

/** Reads the body of `POST /admin/withdraw`. Throws `bad_request`. */
export const readWithdrawal = (body: Record<string, unknown>) =>
  readMembers(body, { notification: required(isUuid, notificationId) })

/** Reads the body of `POST /admin/disconnect`. Throws `bad_request`. */
export const readDisconnect = (body: Record<string, unknown>) =>
  readMembers(body, { userId: required(isUserId, userId) })

const oneOf =
  <Name extends string>(names: readonly Name[]) =>
  (value: string): value is Name =>
    names.some(name => name === value)

const isType = (value: string): value is string => nameFaultOf(value, limits.type) === null

const searchLength = 200

/** Postgres can't store what this refuses, so no payload has it. */
const isSearch = (value: string): value is string => nameFaultOf(value, searchLength) === null

const isSeq = (value: string): value is string => /^\d{1,15}$/.test(value)

/** A place in a list that is ordered by a moment, written like this, and an id. */
const placeAt =
  (moment: RegExp) =>
  (value: string): value is string => {
    const [at = '', ...id] = value.split('_')
    return moment.test(at) && isUuid(id.join('_'))
  }

const isStreamPlace = placeAt(/^\d{1,10}\.\d{1,6}$/)
/** In microseconds. */
const isScheduledPlace = placeAt(/^-?\d{1,18}$/)

const userId = `a user id of 1 to ${limits.userId} characters`
const notificationId = "a notification's id, which is a UUID"
const channelName = 'a channel, such as user-42, all-users or org-7'
const typeName = `a type of 1 to ${limits.type} characters`
const next = 'the `next` of an earlier answer'

const limit = wholeNumber(1, limits.rows, 50)

/** What `GET /admin/streams` is asked for. */
export const streamFilter = {
  user: optional(isUserId, userId),
  channel: optional(isChannel, channelName),
  before: position(optional(isStreamPlace, next)),
  limit,
}

/** What `GET /admin/explain` is asked for. */
export const question = {
  notification: required(isUuid, notificationId),
  user: required(isUserId, userId),
}

/** What `GET /admin/presence` is asked for. */
export const onlinePage = {
  channel: optional(isChannel, channelName),
  after: position(optional(isUserId, next)),
  limit,
}

/** What `GET /admin/audit` is asked for. */
export const auditPage = { before: position(optional(isSeq, next)), limit }

/** What `GET /admin/follow-ups` is asked for. */
export const followUpFilter = {
  state: optional(oneOf(followUpStates), `one of ${followUpStates.join(', ')}`),
  user: optional(isUserId, userId),
  before: position(optional(isSeq, next)),
  limit,
}

/** What `GET /admin/scheduled` is asked for. */
export const scheduledFilter = {
  state: optional(oneOf(scheduledStates), `one of ${scheduledStates.join(', ')}`),
  channel: optional(isChannel, channelName),
  type: optional(isType, typeName),
  before: position(optional(isScheduledPlace, next)),
  limit,
}

/** Which deliveries are asked for or redelivered. */
export const deliveryFilter = {
  channel: optional(isChannel, channelName),
  type: optional(isType, typeName),
  status: optional(oneOf(statuses), 'pending, delivered or failed'),
  since: time,
  until: time,
  payload: optional(
    isSearch,
    `a text of 1 to ${searchLength} characters, or a JSON object that the payload contains`,
  ),
  before: position(optional(isSeq, next)),
  limit,
}
