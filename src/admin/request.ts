import { isChannel, isUserId } from '../auth/channels.ts'
import { readMembers } from '../http/body.ts'
import { optional, position, readQuery, required, time, wholeNumber } from '../http/query.ts'
import { nameFaultOf } from '../lib/characters.ts'
import { limits } from '../lib/limits.ts'
import { isUuid } from '../lib/uuid.ts'
import type { AuditPage, DeliveryFilter, Status, StreamFilter } from './admin.ts'
import { type FollowUpFilter, type FollowUpState, followUpStates } from './follow-ups.ts'
import { type ScheduledFilter, type ScheduledState, scheduledStates } from './scheduled.ts'

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

const isStatus = (value: string): value is Status =>
  value === 'pending' || value === 'delivered' || value === 'failed'

const isFollowUpState = (value: string): value is FollowUpState =>
  followUpStates.some(state => state === value)

const isScheduledState = (value: string): value is ScheduledState =>
  scheduledStates.some(state => state === value)

const isType = (value: string): value is string => nameFaultOf(value, limits.type) === null

const searchLength = 200

/** Postgres can't store what this refuses, so no payload has it. */
const isSearch = (value: string): value is string => nameFaultOf(value, searchLength) === null

const isSeq = (value: string): value is string => /^\d{1,15}$/.test(value)

/** A place among what is scheduled: a moment in microseconds, and an id. */
const isPlace = (value: string): value is string =>
  /^-?\d{1,18}_/.test(value) && isUuid(value.slice(value.indexOf('_') + 1))

const isStreamPosition = (value: string): value is string =>
  /^\d{1,10}\.\d{1,6}_/.test(value) && isUuid(value.slice(value.indexOf('_') + 1))

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
  before: position(optional(isStreamPosition, next)),
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
  state: optional(isFollowUpState, `one of ${followUpStates.join(', ')}`),
  user: optional(isUserId, userId),
  before: position(optional(isSeq, next)),
  limit,
}

/** What `GET /admin/scheduled` is asked for. */
export const scheduledFilter = {
  state: optional(isScheduledState, `one of ${scheduledStates.join(', ')}`),
  channel: optional(isChannel, channelName),
  type: optional(isType, typeName),
  before: position(optional(isPlace, next)),
  limit,
}

/** Which deliveries are asked for or redelivered. */
export const deliveryFilter = {
  channel: optional(isChannel, channelName),
  type: optional(isType, typeName),
  status: optional(isStatus, 'pending, delivered or failed'),
  since: time,
  until: time,
  payload: optional(
    isSearch,
    `a text of 1 to ${searchLength} characters, or a JSON object that the payload contains`,
  ),
  before: position(optional(isSeq, next)),
  limit,
}
