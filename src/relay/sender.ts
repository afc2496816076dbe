import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import type { Step } from '../log/step.ts'
import { encode, type Head, type Message } from './message.ts'
import type { Relay } from './relay.ts'
import { type Seal, sealBytes } from './seal.ts'

export type Sender = {
  /** Sends a step to the other instances, and soon after the last one how far the log goes. */
  send(step: Step): void
  stop(): void
}

/** So long after the last step it is said how far the log goes, for an instance that has missed that step. */
const announceMs = 100
/** A step of more messages is read from the table. */
const mostMessages = 4

/** Tells the other instances what this one has numbered. Nothing waits for it, and a failure costs the others time. */
export const createSender = (options: {
  relay: Relay
  seal: Seal
  /** Whether there is anybody to tell. */
  hasPeers(): boolean
  report: Report
}): Sender => {
  const { relay, seal, report } = options
  let head: Head | null = null
  let timer: ReturnType<typeof setTimeout> | null = null
  let isFailing = false

  const pass = (message: Message) => {
    for (const bytes of encode(message, relay.maxBytes - sealBytes, mostMessages)) {
      const sealed = seal.close(bytes)
      if (sealed) relay.send(sealed).then(succeeded, failed)
    }
  }

  const succeeded = () => {
    if (isFailing) report.info({}, 'The relay takes messages again.')
    isFailing = false
  }

  const failed = (error: unknown) => {
    if (!isFailing) {
      report.warn(
        { error: messageOf(error) },
        'The relay takes no messages: other instances read the table.',
      )
    }
    isFailing = true
  }

  const announce = () => {
    timer = null
    if (head && options.hasPeers()) pass(head)
    head = null
  }

  return {
    send(step) {
      if (!options.hasPeers()) return
      pass(step)
      head = { server: step.server, epoch: step.epoch, head: step.to }
      if (timer) clearTimeout(timer)
      timer = setTimeout(announce, announceMs)
    },
    stop() {
      if (timer) clearTimeout(timer)
      timer = null
    },
  }
}
