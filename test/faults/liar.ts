import { connect } from '@nats-io/transport-node'
import { backoffMs } from '../../src/lib/backoff.ts'
import { createLies, type Lie } from '../support/lying-relay.ts'
import type { Random } from './random.ts'

export type Liar = AsyncDisposable & { readonly told: Record<Lie, number> }

/**
 * Somebody who has the credentials of NATS, and repeats what is said on each subject: late, in another order, changed
 * and cut. Only what others say can't be dropped: restarting NATS does that.
 */
export const startLiar = (url: string, random: Random): Liar => {
  const lies = createLies({ random: random.next })
  const mouths = new Map<string, ReturnType<typeof lies.mouth>>()
  const ending = Promise.withResolvers<void>()
  let stopped = false
  let say: (subject: string, message: Uint8Array) => void = () => undefined

  const mouthFor = (subject: string) => {
    const mouth = mouths.get(subject) ?? lies.mouth(message => say(subject, message))
    mouths.set(subject, mouth)
    return mouth
  }

  const listen = async () => {
    for (let failures = 0; !stopped; failures++) {
      try {
        const connection = await connect({ servers: url, reconnect: false, noEcho: true })
        failures = 0
        say = (subject, message) => {
          if (!connection.isClosed()) connection.publish(subject, message)
        }
        connection.subscribe('kairan.>', {
          callback: (_, { subject, data }) => mouthFor(subject).hear(data),
        })
        await Promise.race([connection.closed(), ending.promise])
        await connection.close()
      } catch {
        // NATS is away: it is restarted again and again.
      }
      if (!stopped) await Bun.sleep(backoffMs(failures))
    }
  }
  const listening = listen()
  return {
    told: lies.told,
    async [Symbol.asyncDispose]() {
      stopped = true
      ending.resolve()
      for (const mouth of mouths.values()) mouth.stop()
      await listening
    },
  }
}
