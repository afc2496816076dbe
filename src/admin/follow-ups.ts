export const followUpStates = ['waiting', 'taken', 'finished', 'given_up'] as const

/** waiting: it can be taken. taken: it is, or it failed and waits for its next attempt. */
export type FollowUpState = (typeof followUpStates)[number]

export type FollowUpFilter = {
  state: FollowUpState | null
  user: string | null
  /** Only follow-ups below this id. */
  before: string | null
  limit: number
}

/** A follow-up as the dashboard shows it. Times are in ISO 8601. */
export type FollowUpRow = {
  id: string
  notificationId: string
  userId: string
  type: string | null
  state: FollowUpState
  dueAt: string
  createdAt: string
  availableAt: string
  attempts: number
  takenAt: string | null
  takenBy: string | null
  finishedAt: string | null
  error: string | null
}

/** What is known of the follow-up of one notification for one user: only when it is due, or the follow-up itself. */
export type FollowUpFacts =
  | { waitsUntil: string }
  | Pick<
      FollowUpRow,
      'state' | 'dueAt' | 'attempts' | 'takenAt' | 'availableAt' | 'finishedAt' | 'error'
    >

/** The questions of the dashboard about follow-ups. */
export type FollowUpStore = {
  list(filter: FollowUpFilter): Promise<{ followUps: FollowUpRow[]; next: string | null }>
  about(notificationId: string, userId: string): Promise<FollowUpFacts | null>
  /** Lets one be taken again that was given up, and writes to the audit trail who did it. False when it was not. */
  retry(id: string, actor: string): Promise<boolean>
}

/** What became of a follow-up, as a sentence; null when there is none. */
export const sayFollowUp = (facts: FollowUpFacts | null): string | null => {
  if (facts === null) return null
  if ('waitsUntil' in facts) {
    return `It is followed up if it is not received by ${facts.waitsUntil}.`
  }
  const { state, dueAt, attempts, takenAt, availableAt, finishedAt, error } = facts
  const because = `It was not received by ${dueAt}, so it was followed up`
  if (state === 'finished') return `${because}, and that was done at ${finishedAt}.`
  if (state === 'given_up') return `${because}, which was given up at ${finishedAt}: ${error}.`
  if (takenAt === null) return `${because}: nobody has taken the follow-up yet.`
  return error === null
    ? `${because}: it was taken at ${takenAt}, and is given back at ${availableAt}.`
    : `${because}: attempt ${attempts} at ${takenAt} failed (${error}); the next is after ${availableAt}.`
}
