import { createServer } from 'node:net'

/**
 * Finds out whether one can listen there, and resolves with the port: `port` 0 picks a free one. Rejects
 * with the reason. Also sees processes that share the port among themselves, which a listener that would
 * share it too does not.
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
