import { freePort } from '../support/port.ts'
import { proxyTo, type TestProxy } from '../support/proxy.ts'
import { secret } from '../support/service.ts'

export type Instance = AsyncDisposable & {
  url: string
  readonly pid: number
  /** The network between it and the database. */
  proxy: TestProxy
  /** Sends its process a signal. */
  signal(name: NodeJS.Signals): void
  /** Starts it again when it has ended. */
  restart(): Promise<void>
  /** Resolves when its process has ended. */
  ended(): Promise<number>
}

/** A service in a process of its own, with a network of its own to the database. */
export const startInstance = async (
  source: string,
  databaseUrl: string,
  env: Record<string, string>,
): Promise<Instance> => {
  const proxy = await proxyTo(Number(new URL(databaseUrl).port))
  const through = Object.assign(new URL(databaseUrl), { port: String(proxy.port) }).toString()
  const port = await freePort()

  const spawn = () =>
    Bun.spawn([process.execPath, `${source}/main.ts`, 'start'], {
      env: {
        DATABASE_URL: through,
        JWT_SECRET: secret,
        PORT: String(port),
        DRAIN_MS: '500',
        RETRY_MS: '50',
        LOG_LEVEL: 'error',
        // Whatever a reader misses has to be replayed: nothing may hide behind a gap.
        REPLAY_LIMIT: '1000000',
        ...env,
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  let child = spawn()
  return {
    url: `http://127.0.0.1:${port}`,
    get pid() {
      return child.pid
    },
    proxy,
    signal: name => child.kill(name),
    async restart() {
      await child.exited
      child = spawn()
    },
    ended: () => child.exited,
    async [Symbol.asyncDispose]() {
      child.kill('SIGCONT')
      child.kill('SIGKILL')
      await child.exited
      await proxy[Symbol.asyncDispose]()
    },
  }
}
