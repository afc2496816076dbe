import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the ports that the kernel gives to connections and to who asks for port 0: those of other tests can't take it
 * before the process listens, nor while it is restarted.
 */
const [lowest, highest] = [15_000, 32_000]

/** A port of 127.0.0.1 that is free now, for a process that needs a number. */
export const freePort = async (): Promise<number> => {
  for (let tries = 0; tries < 100; tries++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest))
    if (await isFree(port)) return port
  }
  throw new Error('There is no free port')
}

const isFree = async (port: number) => {
  const server = createServer()
  const listening = once(server, 'listening').then(
    () => true,
    () => false,
  )
  server.listen(port, '127.0.0.1')
  const isMine = await listening
  if (isMine) {
    server.close()
    await once(server, 'close')
  }
  return isMine
}

/** Whether a program accepts connections on this port of 127.0.0.1. */
export const isListening = async (port: number) => {
  try {
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port,
      socket: { data: () => undefined },
    })
    socket.end()
    return true
  } catch {
    return false
  }
}
