import type { Outcome, Step } from '../log/step.ts'
import { decode, isStep } from './message.ts'
import type { Seal } from './seal.ts'

/** What became of a message of the relay. */
export type Received = Outcome | 'refused' | 'repeated'

/** So many messages that are refused or repeated are looked at in a second; then the table is read instead. */
const mostBad = 200
/** So often the table is read because of messages that are not. */
const wakeMs = 100

/**
 * Reads what the relay brings. Nothing of it is trusted: what is not sealed by an instance of this database is refused,
 * and what is repeated is dropped, both at a bounded cost.
 */
export const createReceiver = (options: {
  seal: Seal
  /** A step of another instance. */
  onStep(step: Step): void
  /** The log goes this far. */
  onHead(head: number): void
  /** A message was refused, so one that counts may be missing: called at most ten times a second. */
  onRefused(): void
  onReceived(outcome: 'refused' | 'repeated'): void
}) => {
  const { seal } = options
  let second = 0
  let bad = 0
  let wokenAt = Number.NEGATIVE_INFINITY

  /** One that can't be used. A lie must not make anybody late by more than a look. */
  const refuse = (outcome: 'refused' | 'repeated', now: number) => {
    bad++
    options.onReceived(outcome)
    if (outcome === 'repeated' || now - wokenAt < wakeMs) return
    wokenAt = now
    options.onRefused()
  }

  return (sealed: Uint8Array) => {
    const now = performance.now()
    if (Math.floor(now / 1000) !== second) {
      second = Math.floor(now / 1000)
      bad = 0
    }
    if (bad >= mostBad) return refuse('refused', now)
    const bytes = seal.open(sealed)
    if (bytes === 'own') return
    if (bytes === 'old') return refuse('repeated', now)
    const message = bytes === 'forged' ? null : decode(bytes)
    if (!message) return refuse('refused', now)
    if (isStep(message)) options.onStep(message)
    else options.onHead(message.head)
  }
}
