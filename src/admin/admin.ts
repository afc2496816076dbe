import type { Facts } from '../observe/metrics.ts'

/** What the dashboard needs of the database. Times are ISO 8601. */
export type AdminStore = {
  overview(): Promise<Overview>
  streams(filter: StreamFilter): Promise<{ streams: StreamRow[]; next: string | null }>
  online(after: string, limit: number): Promise<{ users: OnlineUser[]; next: string | null }>
  disconnect(userId: string): Promise<void>
  deliveries(filter: DeliveryFilter): Promise<{ deliveries: DeliveryRow[]; next: string | null }>
  notification(id: string): Promise<NotificationDetail | null>
  /** Puts the deliveries of a notification back, on one channel or on all. Returns how many. */
  redeliver(id: string, channel: string | null): Promise<number>
  /** One step of putting back all that fit: how many it put back, and where the next step begins. */
  redeliverSome(filter: DeliveryFilter): Promise<Step>
  /** One step of removing what is older than RETENTION. */
  prune(keepMs: number): Promise<Step>
  system(): Promise<SystemFacts>
  explain(notificationId: string, userId: string): Promise<DeliveryFacts>
}

/** Long work goes in steps, each with its own commit; `next` is null after the last. */
export type Step = { changed: number; next: string | null }

export type Instance = { id: string; startedAt: string; silentMs: number; facts: Partial<Facts> }

export type Overview = {
  /** By the database's clock. */
  now: string
  instances: Instance[]
  users: number
  head: number
  floor: number
  /** Deliveries that wait for their number: more than a moment's worth says that nobody numbers. */
  unnumbered: number
  /** Up to 10,000 are counted. */
  pending: number
  queueUsage: number
}

export type StreamFilter = { user: string | null; before: string | null; limit: number }
export type StreamRow = {
  id: string
  userId: string
  channels: string[]
  address: string | null
  openedAt: string
  instanceId: string
}
export type OnlineUser = { userId: string; streams: number; since: string }

export type Status = 'pending' | 'delivered' | 'failed'
export type DeliveryFilter = {
  channel: string | null
  type: string | null
  status: Status | null
  /** Published from, and up to then. */
  since: string | null
  until: string | null
  /** Below this seq. */
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
  expiresAt: string | null
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
  /** About how many rows; null when nobody has counted. */
  tables: { name: string; bytes: number; rows: number | null }[]
  /** The oldest transaction that is open, in seconds: what it has locked or hidden waits for it. */
  oldestTransactionSeconds: number
  queueUsage: number
}

/** Why an instance is not ready. It may name hosts and quote SQL. */
export type InstanceProblem = { instanceId: string; problem: string }

/** What is in the database about one notification and one user. */
export type DeliveryFacts = {
  isPublished: boolean
  expiresAt: string | null
  isExpired: boolean
  deliveries: Pick<DeliveryRow, 'channel' | 'status' | 'error' | 'recipients' | 'deliveredAt'>[]
  /** The streams that the user has open now. */
  streams: number
}
