import { createHash } from 'node:crypto'
import type { NatsConnection, Subscription } from '@nats-io/transport-node'
import { backoffMs, createPause } from '../lib/backoff.ts'
import { messageOf } from '../lib/errors.ts'
import type { NatsAddress } from '../lib/nats-url.ts'
import { afterListening } from '../lib/patient-timer.ts'
import type { Report } from '../lib/report.ts'
import { signIn } from './nats-session.ts'
import type { Relay } from './relay.ts'

/** The server's own limit is 1 MiB, unless it was configured otherwise. */
const mostBytes = 1024 * 1024
/** How often a connection has to prove that it works. The subject is looked at as often. */
const proveMs = 1000
/** The same while it is not known yet what to listen to. */
const beginMs = 100
/** How long a server may take to answer before its connection is given up. */
const timeoutMs = 2000
/** What was sent and not confirmed; more is not sent, so that a frozen server costs this much memory. */
const windowBytes = 8 * 1024 * 1024

/**
 * Carries batches over NATS core. Everything is sent at most once; nothing is kept for later. It connects when it
 * begins to receive, and again for ever, with jitter.
 */
export const createNatsRelay = (options: {
  address: NatsAddress
  /** Tells which instances hear each other; null while that is not known. */
  subject(): string | null
  report: Report
}): Relay => {
  const { address, report } = options
  /** Null while nothing can be sent. */
  let session: Session | null = null

  const receive: Relay['receive'] = onMessage => {
    const pause = createPause()
    const stopping = Promise.withResolvers<void>()
    let stopped = false
    let failures = 0
    let turn = Math.floor(Math.random() * address.servers.length)

    const heard = (message: Uint8Array) => {
      try {
        if (!stopped) onMessage(message)
      } catch (error) {
        // Thrown into the library's parser, it would leave the connection open and deaf.
        report.error({ error: messageOf(error) }, 'A message of the relay could not be taken.')
      }
    }

    const run = async () => {
      while (!stopped) {
        const problem = await attempt()
        if (stopped) break
        if (session || failures === 0) {
          report.warn({ error: problem }, 'The relay is down: the log is read from the table.')
        }
        session = null
        turn++
        await pause.wait(backoffMs(failures++))
      }
    }

    /** Receives until something is wrong, and says what. */
    const attempt = async () => {
      const server = address.servers[turn % address.servers.length]
      if (!server) return 'there is no server'
      const signingIn = signIn(server, address, timeoutMs)
      // It is not waited for when this stops.
      const abandon = () => void signingIn.then(close, () => undefined)
      try {
        const connection = await Promise.race([signingIn, stopping.promise.then(abandon)])
        return connection ? await keep(connection) : 'stopped'
      } catch (error) {
        return messageOf(error)
      }
    }

    const keep = async (connection: NatsConnection) => {
      const opened = createSession(connection, heard, pause.end)
      try {
        while (!stopped && !opened.problem) {
          opened.follow(options.subject())
          await opened.prove(timeoutMs)
          if (!session && opened.isFollowing) {
            session = opened
            if (failures > 0) report.info({ attempts: failures }, 'The relay is up again.')
            failures = 0
          }
          if (!stopped && !opened.problem) await pause.wait(opened.isFollowing ? proveMs : beginMs)
        }
        return opened.problem ?? 'stopped'
      } catch (error) {
        return messageOf(error)
      } finally {
        close(connection)
      }
    }

    const running = run()
    return {
      isUp: () => session !== null,
      async stop() {
        stopped = true
        stopping.resolve()
        pause.end()
        await running
        session = null
      },
    }
  }

  return {
    get maxBytes() {
      return Math.min(mostBytes, session?.maxBytes ?? mostBytes)
    },
    async send(message) {
      if (!session) throw new Error('the relay is down')
      session.send(message)
    },
    receive,
  }
}

/**
 * The subject of the instances that follow this server. A copy of a database has the same cluster and epoch, so a copy
 * that runs beside the original, on the same NATS, must not hear it: another running server is another subject.
 */
export const natsSubject = (server: string | null) =>
  server && `kairan.${createHash('sha256').update(server).digest('hex').slice(0, 32)}`

const close = (connection: NatsConnection) => {
  connection.close().catch(() => undefined)
}

type Session = ReturnType<typeof createSession>

/** A connection, what it listens to, and what of its messages the server has not confirmed. */
const createSession = (
  connection: NatsConnection,
  heard: (message: Uint8Array) => void,
  onLost: () => void,
) => {
  let problem: string | null = null
  let subject: string | null = null
  let subscription: Subscription | null = null
  let sent = 0
  let confirmed = 0
  const proofs = new Set<PromiseWithResolvers<void>>()

  const lose = (error: unknown) => {
    problem ??= error instanceof Error ? messageOf(error) : 'the connection was closed'
    for (const proof of proofs) proof.reject(new Error(problem))
    onLost()
  }
  void connection.closed().then(lose)
  const watch = async () => {
    // Such as a subject that this user may not use: the server says so, and leaves the connection open.
    for await (const status of connection.status()) if (status.type === 'error') lose(status.error)
  }
  watch().catch(lose)

  const take = (error: Error | null, { data }: { data: Uint8Array }) => {
    if (error) lose(error)
    else heard(data)
  }

  const prove = async (withinMs: number) => {
    const upTo = sent
    // No race with a promise that lives as long as the session: each would stay with it.
    const proof = Promise.withResolvers<void>()
    proofs.add(proof)
    const end = afterListening(withinMs, () =>
      proof.reject(new Error(`no answer within ${withinMs} ms`)),
    )
    connection.flush().then(proof.resolve, proof.reject)
    try {
      await proof.promise
      confirmed = Math.max(confirmed, upTo)
    } finally {
      end()
      proofs.delete(proof)
    }
  }

  return {
    /** Why the connection is of no use any more; null while it is. */
    get problem() {
      return problem
    },
    get maxBytes() {
      return connection.info?.max_payload ?? mostBytes
    },
    get isFollowing() {
      return subject !== null
    },
    /** Listens to this subject, and to no other. */
    follow(wanted: string | null) {
      if (wanted === subject) return
      subscription?.unsubscribe()
      subject = wanted
      subscription = subject === null ? null : connection.subscribe(subject, { callback: take })
    },
    /** Resolves when the server has answered, and so has all that was sent before. */
    prove,
    send(message: Uint8Array) {
      if (subject === null || problem) throw new Error('the relay is down')
      if (message.byteLength > this.maxBytes) throw new Error('the message is too large')
      const unconfirmed = sent - confirmed + message.byteLength
      if (unconfirmed > windowBytes) throw new Error('the relay does not keep up')
      connection.publish(subject, message)
      sent += message.byteLength
      if (unconfirmed > windowBytes / 4 && proofs.size === 0) prove(timeoutMs).catch(lose)
    },
  }
}
