import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export type TestProxy = AsyncDisposable & {
  port: number
  /** Stops forwarding in both directions, and closes nothing: like a network that is down. */
  cut(): void
  /** Forwards again, first what has waited. */
  heal(): void
  /** Resets every connection, like a crashed host or a firewall. */
  reset(): void
  /**
   * Leads new connections to another port, or to none: then they are closed at once. Those that are open are
   * kept, as when a name gets another address, or reset, as a balancer may do.
   */
  leadTo(port: number | null, open: 'kept' | 'reset'): void
  /** How many connections were made through it. */
  readonly connections: number
  /** Changes the bytes that clients send. It must keep their number. */
  rewrite: ((bytes: Buffer) => Buffer) | null
}

/** A proxy on 127.0.0.1 between a client and a server: a network that can be cut. */
export const proxyTo = async (firstPort: number): Promise<TestProxy> => {
  let port: number | null = firstPort
  const sockets = new Set<Socket>()
  let isCut = false
  let connections = 0

  const add = (socket: Socket, peer: Socket) => {
    sockets.add(socket)
    if (isCut) socket.pause()
    socket.on('error', () => peer.destroy())
    socket.on('close', () => {
      sockets.delete(socket)
      peer.destroy()
    })
  }

  const server = createServer(client => {
    connections++
    if (port === null) return client.destroy()
    const upstream = connect(port, '127.0.0.1')
    add(client, upstream)
    add(upstream, client)
    client.on('data', (bytes: Buffer) =>
      upstream.write(proxy.rewrite ? proxy.rewrite(bytes) : bytes),
    )
    upstream.on('data', bytes => client.write(bytes))
    if (isCut) for (const socket of [client, upstream]) socket.pause()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()

  const proxy: TestProxy = {
    port: typeof address === 'object' && address ? address.port : 0,
    cut() {
      isCut = true
      for (const socket of sockets) socket.pause()
    },
    heal() {
      isCut = false
      for (const socket of sockets) socket.resume()
    },
    reset() {
      for (const socket of [...sockets]) socket.resetAndDestroy()
    },
    leadTo(next, open) {
      port = next
      if (open === 'reset') proxy.reset()
    },
    get connections() {
      return connections
    },
    rewrite: null,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
  return proxy
}
