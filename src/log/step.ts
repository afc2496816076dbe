import type { ToldBetween } from './changes.ts'
import type { Event } from './event.ts'

/**
 * A piece of the log, as the instance that numbers has it: what every instance has to do to get from `prev` to `to`.
 */
export type Step = {
  /** The running server, see primary.ts: transaction ids and positions are its own. */
  server: string
  epoch: string
  prev: number
  to: number
  events: readonly Event[]
  /** What was told of users before one of the events was committed; null when it has to be read. */
  told: ToldBetween | null
}

/**
 * What became of a step that another instance has sent: it was applied, it was known already, or the table has to be
 * read, because something before it is missing.
 */
export type Outcome = 'applied' | 'known' | 'missing'
