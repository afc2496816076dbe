import { freePort } from '../../test/support/port.ts'
import { isReady } from '../../test/support/process.ts'
import { openReaders, pinned, type Readers } from './readers.ts'
import { tokens } from './server.ts'

/** A server to measure: its address, how to subscribe, and how to make it send. */
export type Peer = AsyncDisposable & {
  name: string
  url: string
  path: string
  pids: number[]
  /** Sends the text `count` times to all streams, as fast as possible. Resolves when it is accepted. */
  publish(count: number, text: string): Promise<void>
}

/** Starts a program, and waits until it answers. */
export const started = async (
  name: string,
  command: string[],
  url: string,
  ready: () => Promise<boolean>,
): Promise<Omit<Peer, 'publish'>> => {
  const child = Bun.spawn(command, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, NODE_ENV: 'production' },
  })
  while (!(await ready())) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`)
    await Bun.sleep(50)
  }
  return {
    name,
    url,
    path: '/sub',
    pids: [child.pid],
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await child.exited
    },
  }
}

/** Runs `measure` with a peer and `streams` open streams of readers. */
export const withReaders = async <T>(
  start: () => Promise<Peer | null>,
  streams: number,
  measure: (peer: Peer, readers: Readers) => Promise<T>,
): Promise<T | null> => {
  await using peer = await start()
  if (!peer) return null
  await using readers = await openReaders()
  const { open } = await readers.open(peer.url, peer.path, await tokens(streams))
  if (open !== streams) throw new Error(`${peer.name} opened ${open} of ${streams} streams`)
  return await measure(peer, readers)
}

/** A peer of `bench/peers`, which publishes the body of a POST. */
const posted = async (name: string, command: (port: number) => string[]): Promise<Peer> => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const peer = await started(name, [...pinned(0), ...command(port)], url, () => isReady(url, '/'))
  return {
    ...peer,
    async publish(count, text) {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ count, text }),
      })
      if (!response.ok) throw new Error(`${name} answered ${response.status}`)
      await response.text()
    },
  }
}

const peers = `${import.meta.dir}/../peers`

/** better-sse on Node; null where there is no Node. */
export const betterSse = async () =>
  Bun.which('node')
    ? posted('better-sse', port => ['node', `${peers}/better-sse.mjs`, `${port}`])
    : null

/** Plain Elysia: a generator for each connection, which encodes every event itself. */
export const plainElysia = () =>
  posted('plain Elysia', port => [process.execPath, `${peers}/elysia.ts`, `${port}`])

/** A simple service, as one would write it by hand: it LISTENs and sends each NOTIFY to every open stream. */
export const bareListen = async (databaseUrl: string) => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const command = [process.execPath, `${peers}/listen.ts`, `${port}`, databaseUrl]
  return started('bare LISTEN', command, url, () => isReady(url, '/'))
}
