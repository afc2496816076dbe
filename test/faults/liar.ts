import { connect } from '@nats-io/transport-node'
import postgres from 'postgres'
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

const channel = 'kairan_relay'

/**
 * The same on Postgres: any login of the database hears what the relay's notify channel carries, and may send there. It
 * can drop nothing either.
 */
export const startNotifyLiar = (url: string, random: Random): Liar => {
  const lies = createLies({ random: random.next })
  const sql = postgres(url, { max: 2, onnotice: () => undefined, connect_timeout: 2 })
  /** Its own words come back to it. */
  const said = new Map<string, number>()
  const mouth = lies.mouth(message => {
    const text = Buffer.from(message).toString('base64')
    said.set(text, (said.get(text) ?? 0) + 1)
    // Postgres may be away: it is restarted again and again.
    sql.notify(channel, text).catch(() => said.delete(text))
  })
  const heard = (text: string) => {
    const times = said.get(text) ?? 0
    if (times > 1) said.set(text, times - 1)
    else if (times === 1) said.delete(text)
    else mouth.hear(Buffer.from(text, 'base64'))
  }
  sql.listen(channel, heard).catch(() => undefined)
  return {
    told: lies.told,
    async [Symbol.asyncDispose]() {
      mouth.stop()
      await sql.end({ timeout: 0 })
    },
  }
}
