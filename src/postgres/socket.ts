import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { backoffMs } from '../lib/backoff.ts'
import { afterListening } from '../lib/patient-timer.ts'
import type { PostgresAddress, PostgresServer } from '../lib/postgres-url.ts'
import { secure } from './tls.ts'

export type Dialer = {
  /**
   * Opens a socket to the next server, encrypted if the address says so. Never rejects: the driver would
   * not get over that, so a failure is a socket that ends with the error.
   */
  open(): Promise<Duplex>
  /** The session of this socket is a good one. Until then it counts as a failure when it ends. */
  succeeded(socket: Duplex): void
  /** No more sockets: those that are being opened are closed. */
  close(): void
}

/** No server was reached. It may be the next time. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError'
}

/** The longest pause between two attempts to reach Postgres: what comes after an outage waits for it. */
export const mostPauseMs = 1000

/**
 * How long a server may take to accept a connection. Short, since a packet that got lost in an outage is
 * sent again later and later; every third time longer, for a name that is slow to be looked up.
 */
const acceptMs = [2000, 2000, 6000]

/**
 * Opens sockets no faster than a server in trouble can bear. postgres.js reconnects without any delay
 * to a peer that accepts and closes, or that is starting up: hundreds of connects a second (#1179,
 * #1193). Here each failure in a row doubles the wait, from 50 ms to `mostPauseMs`, with jitter. Of several
 * servers each is tried before it waits.
 */
export const createDialer = (address: PostgresAddress): Dialer => {
  const servers = address.shuffled
    ? address.servers.toSorted(() => Math.random() - 0.5)
    : address.servers
  const good = new WeakSet<Duplex>()
  let failures = 0
  let next = 0
  let isClosed = false

  const failed = () => {
    failures++
    next = (next + 1) % servers.length
  }

  const open = async () => {
    const rounds = Math.floor(failures / servers.length)
    if (rounds > 0) await Bun.sleep(backoffMs(rounds, mostPauseMs))
    const server = servers[next]
    if (!server || isClosed) throw new UnreachableError('the connection is not needed any more')
    const defaultMs = acceptMs[rounds % acceptMs.length] ?? 2000
    const ms = address.connectSeconds === undefined ? defaultMs : address.connectSeconds * 1000
    const socket = await dial(server, address, ms)
    if (!isClosed) return socket
    socket.destroy()
    throw new UnreachableError('the connection is not needed any more')
  }

  return {
    async open() {
      const socket = await open().catch(failingSocket)
      socket.once('close', () => {
        if (!good.has(socket) && !isCancel(socket)) failed()
      })
      return socket
    },
    succeeded(socket) {
      good.add(socket)
      failures = 0
    },
    close() {
      isClosed = true
    },
  }
}

/** The driver cancels a statement over a socket of its own, which carries that request and nothing else. */
const isCancel = (socket: Duplex) => 'bytesWritten' in socket && socket.bytesWritten === 16

/** Rejects when the server is not reached, or not encrypted as it has to be, within `ms`. */
const dial = async (server: PostgresServer, { tls }: PostgresAddress, ms: number) => {
  const socket =
    'socket' in server ? connectTcp(server.socket) : connectTcp(server.port, server.connectTo)
  const name = 'socket' in server ? server.socket : `${server.host}:${server.port}`
  const end = afterListening(ms, () =>
    socket.destroy(new UnreachableError(`${name} did not answer within ${ms} ms`)),
  )
  try {
    await connected(socket)
    // As in libpq, sockets of this machine are not encrypted.
    if ('socket' in server || tls.mode === 'disable') return socket
    return await secure(socket, tls, isIP(server.host) ? undefined : server.host)
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    end()
  }
}

const connected = async (socket: Socket) => {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const closed = () => reject(new UnreachableError('the connection was closed'))
  socket.once('connect', resolve).once('error', reject).once('close', closed)
  try {
    await promise
  } finally {
    socket.off('connect', resolve).off('error', reject).off('close', closed)
  }
}

const failingSocket = (error: unknown) => {
  const socket = new Duplex({
    read: () => undefined,
    write: (_bytes, _encoding, done) => done(),
  })
  setImmediate(() => socket.destroy(error instanceof Error ? error : new Error(String(error))))
  return socket
}
