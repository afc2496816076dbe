import type { Database } from '../postgres/database.ts'
import type { Relay } from './relay.ts'

/** The relay that needs nothing but Postgres: NOTIFY. */
export type PostgresRelay = Relay & {
  /** A NOTIFY has arrived on the channel of the relay. */
  heard(payload: string): void
}

/** The notify channel of the relay. Any login can send and receive on it, so what is in it is sealed. */
export const relayChannel = 'kairan_relay'

/** A payload has at most 7,999 bytes, and is text. */
const maxBytes = Math.floor(7999 / 4) * 3

/** So many messages wait at most while one is sent. */
const mostWaiting = 1000

/**
 * Sends by `pg_notify`: what waits, together. It arrives by the listener, which the caller owes. The commit does not
 * wait for the disk, as a message may be lost.
 */
export const createPostgresRelay = (
  database: Database,
  listener: { isUp(): boolean },
): PostgresRelay => {
  const receivers = new Set<(message: Uint8Array) => void>()
  let waiting: string[] = []
  let sending: Promise<void> | null = null

  const flush = async () => {
    while (waiting.length > 0) {
      const messages = waiting
      waiting = []
      await database.run(
        sql => sql`
          select set_config('synchronous_commit', 'off', true), pg_notify(${relayChannel}, m)
          from jsonb_array_elements_text(${sql.json(messages)}) m`,
      )
    }
  }

  return {
    maxBytes,
    async send(message) {
      if (waiting.length >= mostWaiting) throw new Error('too many messages wait for Postgres')
      waiting.push(Buffer.from(message).toString('base64'))
      sending ??= flush().finally(() => {
        waiting = []
        sending = null
      })
      await sending
    },
    receive(onMessage) {
      receivers.add(onMessage)
      return {
        isUp: listener.isUp,
        stop: async () => void receivers.delete(onMessage),
      }
    },
    heard(payload) {
      for (const receiver of receivers) receiver(Buffer.from(payload, 'base64'))
    },
  }
}
