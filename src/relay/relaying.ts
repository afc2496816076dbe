import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createWorkLoop } from '../lib/work-loop.ts'
import type { Step } from '../log/step.ts'
import type { Database } from '../postgres/database.ts'
import { readRelayKey } from './key-store.ts'
import { createReceiver } from './receiver.ts'
import type { Receiving, Relay } from './relay.ts'
import { createSeal } from './seal.ts'
import { createSender } from './sender.ts'

export type Relaying = {
  start(): void
  /** Sends a step of the log to the other instances, if there are any. */
  send(step: Step): void
  /** Why no messages arrive at the moment; null while they do. Nothing is late for longer than the next look. */
  problem(): string | null
  stop(): Promise<void>
}

/** How often the key is read again at most, while messages are refused. */
const keyMs = 5000

/** This instance at its relay: sends what it numbers, and receives what another one does. */
export const createRelaying = (options: {
  relay: Relay
  database: Database
  hasPeers(): boolean
  onStep(step: Step): void
  onHead(head: number): void
  /** Something was refused that may have been a message: look at the table. */
  onRefused(): void
  onReceived(outcome: 'refused' | 'repeated'): void
  report: Report
}): Relaying => {
  const { relay, database, report } = options
  const seal = createSeal()
  const sender = createSender({ ...options, seal })
  let receiving: Receiving | null = null
  let problem: string | null = 'not started'

  const readKey = createWorkLoop({
    async work() {
      seal.use(await readRelayKey(database))
      problem = null
      return 0
    },
    failed(error) {
      problem = messageOf(error)
      report.warn({ error: problem }, 'The key of the relay could not be read.')
    },
    delayMs: keyMs,
    retryMs: keyMs,
  })

  const receive = createReceiver({
    ...options,
    seal,
    onRefused() {
      // The key may be another one by now.
      readKey.schedule()
      options.onRefused()
    },
  })

  return {
    start() {
      receiving ??= relay.receive(receive)
      readKey.schedule(0)
    },
    send: sender.send,
    problem: () => problem ?? (receiving?.isUp() ? null : 'no messages arrive'),
    async stop() {
      sender.stop()
      await readKey.stop()
      await receiving?.stop()
    },
  }
}
