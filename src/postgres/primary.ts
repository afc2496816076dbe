/** What a session says of the server that it is on, when it begins. */
export type ServerFacts = {
  isStandby: boolean
  isReadOnly: boolean
  /** The running server and the database: another start, or another copy of the data, is another one. */
  server: string
  /** The cluster and the database, whose transaction ids mean something to each other. */
  cluster: string
}

/** Says whether a session may be used; the error is why not. */
export type Judge = (facts: ServerFacts) => Error | null

/** The session is not on the server that is looked for. It may be, the next time. */
export class NotPrimaryError extends Error {
  override readonly name = 'NotPrimaryError'
}

/** Nobody's session is of use on a standby: it can neither number nor listen. */
export const notStandby: Judge = ({ isStandby }) =>
  isStandby ? new NotPrimaryError('the server that answers is a standby, not the primary') : null

/** Asks for what `ServerFacts` holds, in one row of text. As a simple query it passes poolers. */
export const factsQuery = `
  select pg_catalog.pg_is_in_recovery()::text as standby,
    pg_catalog.current_setting('transaction_read_only') as readonly,
    extract(epoch from pg_catalog.pg_postmaster_start_time())::text as started,
    (select s.system_identifier from pg_catalog.pg_control_system() s)::text as system,
    (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())::text
      as database`

export const toFacts = (row: Record<string, string | undefined>): ServerFacts => ({
  isStandby: row.standby === 'true',
  isReadOnly: row.readonly === 'on',
  server: `${row.system}/${row.database}/${row.started}`,
  cluster: `${row.system}/${row.database}`,
})

export type Primary = {
  /** What is followed; null until something is. */
  readonly facts: ServerFacts | null
  /** For the session that decides which server is followed: where it can write is the right one. */
  lead: Judge
  /** For every other session: it has to be on the same server. */
  follow: Judge
  /** Called when sessions made until now may be on another server than the one that is followed. */
  onChange(renew: () => void): void
  /** Called when a session was led to another server: the one that decides has to look again. */
  onDoubt(lookAgain: () => void): void
}

/** A session that is led elsewhere makes the one that decides look again, at most this often. */
const doubtMs = 1000

/**
 * Keeps all sessions on one server. After a failover a name, an address or a proxy may lead to a standby,
 * to the old primary or to a copy, and sessions that were made meanwhile stay there as long as that server
 * lives. So each session says where it is before it is used.
 */
export const createPrimary = (): Primary => {
  let leading: ServerFacts | null = null
  /** Where sessions were led before it was known what is followed. */
  const early = new Set<string>()
  let wasReadOnly = false
  const renewals: (() => void)[] = []
  const doubts: (() => void)[] = []
  let doubtedAt = 0

  const doubt = () => {
    const now = performance.now()
    if (now - doubtedAt < doubtMs) return
    doubtedAt = now
    for (const lookAgain of doubts) lookAgain()
  }

  return {
    get facts() {
      return leading
    },
    lead(facts) {
      const problem = notStandby(facts)
      if (problem) return problem
      if (facts.isReadOnly) {
        wasReadOnly = true
        return new NotPrimaryError('the server that answers is read-only')
      }
      const isOther = leading
        ? leading.server !== facts.server
        : [...early].some(server => server !== facts.server)
      leading = facts
      early.clear()
      // Sessions that began while it was read-only may have stayed so.
      if (isOther || wasReadOnly) for (const renew of renewals) renew()
      wasReadOnly = false
      return null
    },
    follow(facts) {
      const problem = notStandby(facts)
      if (problem) return problem
      if (!leading) {
        early.add(facts.server)
        return null
      }
      const isSame = leading.server === facts.server
      if (!isSame || facts.isReadOnly) doubt()
      // From a server that is read-only for now, streams can be opened and read.
      return isSame ? null : new NotPrimaryError('the address leads to another server than before')
    },
    onChange: renew => renewals.push(renew),
    onDoubt: lookAgain => doubts.push(lookAgain),
  }
}
