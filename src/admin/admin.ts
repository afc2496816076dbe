import type { Facts } from '../observe/metrics.ts'

/** The questions of the dashboard to the database. Times are in ISO 8601. */
export type AdminStore = {
  overview(): Promise<Overview>
  /** What the charts show of this moment. */
  moment(): Promise<Moment>
  streams(filter: StreamFilter): Promise<{ streams: StreamRow[]; next: string | null }>
  online(
    channel: string | null,
    after: string,
    limit: number,
  ): Promise<{ users: OnlineUser[]; next: string | null }>
  /** Like all that changes something, it writes to the audit trail that `actor` did it, in the same transaction. */
  disconnect(userId: string, actor: string): Promise<void>
  deliveries(filter: DeliveryFilter): Promise<{ deliveries: DeliveryRow[]; next: string | null }>
  notification(id: string): Promise<NotificationDetail | null>
  /** Redelivers a notification on one channel or on all. Returns the number of deliveries. */
  redeliver(id: string, channel: string | null, actor: string): Promise<number>
  /** Withdraws a notification, scheduled or published. False when there is none, or it was withdrawn before. */
  withdraw(id: string, actor: string): Promise<boolean>
  /** Counts the deliveries that `redeliverSome` would redeliver, step by step. */
  count(filter: DeliveryFilter): Promise<Matching>
  /** Redelivers the next deliveries that match a filter: one step. */
  redeliverSome(filter: DeliveryFilter, actor: string): Promise<Step>
  /** Removes the next notifications that are older than RETENTION: one step. */
  prune(keepMs: number, actor: string): Promise<Step>
  /** What operators did, newest first. */
  audit(page: AuditPage): Promise<{ entries: AuditEntry[]; next: string | null }>
  system(): Promise<SystemFacts>
  explain(notificationId: string, userId: string): Promise<DeliveryFacts>
}

/**
 * A step of long work, with its own commit: how many rows it changed, and where the next step begins; null after the
 * last.
 */
export type Step = { changed: number; next: string | null }

/** How many deliveries match; `isMore` when there are older ones that were not looked at. */
export type Matching = { matching: number; isMore: boolean }

export type AuditPage = { before: string | null; limit: number }
/** What an operator did. `detail` is JSON. */
export type AuditEntry = {
  id: string
  at: string
  actor: string
  action: string
  target: string | null
  changed: number | null
  detail: string
}

export type Instance = { id: string; startedAt: string; silentMs: number; facts: Partial<Facts> }

export type Overview = {
  /** The time of the database's clock. */
  now: string
  instances: Instance[]
  users: number
  head: number
  floor: number
  /** Deliveries without a seq. If it stays above zero, no instance numbers. */
  unnumbered: number
  /** Counted up to 10,000. */
  pending: number
  queueUsage: number
}

/** The part of an overview that charts show, with fewer facts of each instance. */
export type Moment = Pick<Overview, 'now' | 'instances' | 'users' | 'head'>

export type StreamFilter = {
  user: string | null
  channel: string | null
  before: string | null
  limit: number
}
export type StreamRow = {
  id: string
  userId: string
  channels: string[]
  address: string | null
  openedAt: string
  instanceId: string
}
export type OnlineUser = { userId: string; streams: number; since: string }

export const statuses = ['pending', 'delivered', 'failed'] as const
export type Status = (typeof statuses)[number]
export type DeliveryFilter = {
  channel: string | null
  type: string | null
  status: Status | null
  /** Published at this time or later. */
  since: string | null
  until: string | null
  /** A text in the payload's JSON, or a JSON object that the payload contains. */
  payload: string | null
  /** Only deliveries below this seq. */
  before: string | null
  limit: number
}
export type DeliveryRow = {
  seq: string
  notificationId: string
  channel: string
  type: string | null
  status: string
  error: string | null
  recipients: number
  createdAt: string
  deliveredAt: string | null
  expiresAt: string | null
  bytes: number
}
export type NotificationDetail = {
  id: string
  type: string | null
  /** As text, so that its numbers keep their digits. */
  payload: string
  createdAt: string
  /** When it will be sent; null when it is published. */
  sendAt: string | null
  expiresAt: string | null
  isWithdrawn: boolean
  dedupeKey: string | null
  deliveries: Omit<DeliveryRow, 'notificationId' | 'type' | 'expiresAt' | 'bytes'>[]
}

export type SystemFacts = {
  postgres: string
  migrations: { version: number; name: string; appliedAt: string }[]
  epoch: string
  head: number
  floor: number
  oldestAt: string | null
  /** An estimate of the rows; null before the first ANALYZE. */
  tables: { name: string; bytes: number; rows: number | null }[]
  /** Age of the oldest open transaction, in seconds. Others wait for its locks and its commit. */
  oldestTransactionSeconds: number
  queueUsage: number
}

/** Why an instance is not ready. It may name hosts and quote SQL. */
export type InstanceProblem = { instanceId: string; problem: string }

/** What the database holds about one notification and one user. */
export type DeliveryFacts = {
  isPublished: boolean
  expiresAt: string | null
  isExpired: boolean
  isWithdrawn: boolean
  /** When it will be sent; null when it is not scheduled. */
  sendAt: string | null
  /** Whether it should have been sent some seconds ago. */
  isOverdue: boolean
  /** Why it could not be sent when it was due. */
  sendError: string | null
  /** What the user has muted now that this is of, by its type or by a channel, and since when. */
  mutes: { type: string | null; channel: string | null; since: string; until: string | null }[]
  deliveries: Pick<DeliveryRow, 'channel' | 'status' | 'error' | 'recipients' | 'deliveredAt'>[]
  /** The number of streams that the user has open now. */
  streams: number
}
