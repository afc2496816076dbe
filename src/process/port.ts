import { createServer } from 'node:net'

/**
 * Checks that a port is free, and resolves with it; `port` 0 picks a free one. Rejects with the reason. It also finds
 * other processes that share the port among themselves. A worker would not: it would share the port with them.
 */
export const findPort = async (host: string, port: number): Promise<number> => {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const server = createServer()
  server.once('error', error => {
    // Bun's error for a name that is not found has no code.
    const code = 'code' in error && error.code ? String(error.code) : 'ENOTFOUND'
    const reason = reasons[code]?.(host, port)
    reject(reason === undefined ? error : new Error(reason, { cause: error }))
  })
  server.listen(port, host, () => {
    const address = server.address()
    server.close(() => resolve(typeof address === 'object' && address ? address.port : port))
  })
  return promise
}

/** What to tell the operator, by the code of the error. */
const reasons: Record<string, (host: string, port: number) => string> = {
  EADDRINUSE: (host, port) => `Port ${port} on ${host} is taken: another process listens there`,
  EADDRNOTAVAIL: host => `HOST="${host}" is no address of this machine`,
  ENOTFOUND: host => `HOST="${host}" is a name that leads to no address`,
  EACCES: (host, port) => `This user may not listen on port ${port} of ${host}`,
}
