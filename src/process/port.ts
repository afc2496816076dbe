import { createServer } from 'node:net'

/**
 * Checks that a port is free, and resolves with it; `port` 0 picks a free one. Rejects with the reason. It also finds
 * other processes that share the port among themselves. A worker would not: it would share the port with them.
 */
export const findPort = async (host: string, port: number): Promise<number> => {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const server = createServer()
  server.once('error', error => {
    const isTaken = 'code' in error && error.code === 'EADDRINUSE'
    reject(
      isTaken
        ? new Error(`Port ${port} on ${host} is taken: another process listens there`)
        : error,
    )
  })
  server.listen(port, host, () => {
    const address = server.address()
    server.close(() => resolve(typeof address === 'object' && address ? address.port : port))
  })
  return promise
}
