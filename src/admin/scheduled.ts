export const scheduledStates = ['waiting', 'overdue', 'failed'] as const

/** overdue: it should have been sent some seconds ago. failed: it could not be published when it was due. */
export type ScheduledState = (typeof scheduledStates)[number]

export type ScheduledFilter = {
  state: ScheduledState | null
  channel: string | null
  type: string | null
  /** Only those that are due after this place, which an earlier answer named. */
  before: string | null
  limit: number
}

/** A scheduled notification as the dashboard shows it. Times are in ISO 8601. */
export type ScheduledRow = {
  id: string
  /** The first of its channels; `channelCount` says how many there are. */
  channels: string[]
  channelCount: number
  type: string | null
  state: ScheduledState
  sendAt: string
  createdAt: string
  expiresAt: string | null
  /** Who has scheduled it: `role:` and a login, or `user:` and the subject of a token. */
  publisher: string
  /** Why it could not be published. */
  error: string | null
}

/** The questions of the dashboard about what is scheduled. */
export type ScheduledStore = {
  /** What is due first stands first. */
  list(filter: ScheduledFilter): Promise<{ scheduled: ScheduledRow[]; next: string | null }>
}
