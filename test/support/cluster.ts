import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbedded } from '../../src/dev/postgres/embedded.ts'
import { eventually } from './eventually.ts'
import { isGone } from './process.ts'

export type Cluster = AsyncDisposable & {
  url: string
  port: number
  /** The folder of the data. */
  data: string
  /** Stops the server, like `pg_ctl stop -m fast` or like a crash. */
  stop(mode: 'fast' | 'immediate'): Promise<void>
  start(): Promise<void>
}

/** A Postgres for one test, which it may stop and crash. It keeps its port. */
export const cluster = async (settings: Record<string, string> = {}): Promise<Cluster> => {
  const directory = await mkdtemp(join(tmpdir(), 'kairan-cluster-'))
  await chmod(directory, 0o755)
  // Without fsync: the data survives crashes of the server, but not of the machine.
  const start = () =>
    startEmbedded({ directory, settings: { fsync: 'off', max_connections: '300', ...settings } })
  let server = await start()

  const stop = async (mode: 'fast' | 'immediate') => {
    const note = await readFile(join(directory, 'data/postmaster.pid'), 'utf8')
    const pid = Number(note.split('\n')[0])
    process.kill(pid, mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
    await eventually(() => isGone(pid), 60_000)
  }

  return {
    url: server.url,
    port: Number(new URL(server.url).port),
    data: join(directory, 'data'),
    stop,
    async start() {
      server = await start()
    },
    async [Symbol.asyncDispose]() {
      await server.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
