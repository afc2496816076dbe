import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createConnection, isIP } from 'node:net'
import { checkServerIdentity } from 'node:tls'
import {
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  type NatsConnection,
} from '@nats-io/transport-node'
import type { NatsAddress, NatsServer, NatsTls } from '../lib/nats-url.ts'
import { afterListening } from '../lib/patient-timer.ts'

/**
 * Signs in to one server. Rejects within twice `timeoutMs` when that can't be done. The caller owes `close`. The
 * connection does not come back by itself: the library's own way to do so keeps what is published meanwhile without a
 * limit, gives up after two refusals, and can't be stopped before the first success.
 */
export const signIn = async (
  server: NatsServer,
  address: NatsAddress,
  timeoutMs: number,
): Promise<NatsConnection> => {
  await greeted(server, timeoutMs)
  return connect({
    servers: `${isIP(server.host) === 6 ? `[${server.host}]` : server.host}:${server.port}`,
    name: 'kairan',
    reconnect: false,
    timeout: timeoutMs,
    // Who sends has dispatched its own batch already.
    noEcho: true,
    ignoreClusterUpdates: true,
    ...(await identity(address)),
    ...(address.tls ? { tls: await trust(address.tls, server.host) } : {}),
  })
}

/**
 * A server greets as soon as one connects. One that is frozen does not, and the library (3.4.0) forgets a socket whose
 * greeting did not come: each attempt would leave one open.
 */
const greeted = async ({ host, port }: NatsServer, timeoutMs: number) => {
  const socket = createConnection({ host, port })
  const end = afterListening(timeoutMs, () =>
    socket.destroy(new Error(`no answer within ${timeoutMs} ms`)),
  )
  try {
    const closed = once(socket, 'close').then(() => {
      throw new Error('the connection was closed')
    })
    closed.catch(() => undefined)
    await Promise.race([once(socket, 'data'), closed])
  } finally {
    end()
    socket.destroy()
  }
}

const identity = async (address: NatsAddress): Promise<ConnectionOptions> => {
  const { user, password, token, credentials } = address
  // Read each time: credentials are renewed in place.
  if (credentials) return { authenticator: credsAuthenticator(await readFile(credentials)) }
  if (token !== undefined) return { token }
  return user === undefined ? {} : { user, pass: password ?? '' }
}

/** The name is checked against what the URL says: the library passes on no name when that is an address. */
const trust = async ({ rootCertificate, certificate, key }: NatsTls, host: string) => ({
  rejectUnauthorized: true,
  checkServerIdentity: (_: string, peer: Parameters<typeof checkServerIdentity>[1]) =>
    checkServerIdentity(host, peer),
  ...(rootCertificate === undefined ? {} : { ca: await readFile(rootCertificate, 'utf8') }),
  ...(certificate === undefined ? {} : { cert: await readFile(certificate, 'utf8') }),
  ...(key === undefined ? {} : { key: await readFile(key, 'utf8') }),
})
