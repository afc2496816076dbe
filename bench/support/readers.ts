import { eventually } from '../../test/support/eventually.ts'
import type { Answer, Order } from './reader.ts'

export { mark } from './reader.ts'

type OpenOptions = { headers?: Record<string, string>[]; atOnce?: number; keep?: boolean }

export type Readers = Awaited<ReturnType<typeof openReaders>>

/** Streams that another process holds open, by default on the second core. */
export const openReaders = async (on = pinned(1)) => {
  let answered: ((answer: Answer) => void) | null = null
  const child = Bun.spawn([...on, process.execPath, `${import.meta.dir}/reader.ts`], {
    stdio: ['ignore', 'inherit', 'inherit'],
    ipc: answer => answered?.(answer),
  })
  const order = (what: Order) => {
    const { promise, resolve } = Promise.withResolvers<Answer>()
    answered = resolve
    child.send(what)
    return promise
  }
  const count = () => order({ do: 'count' })
  return {
    count,
    /**
     * Opens one stream for each token, `atOnce` at a time, and waits until all have begun. `streams` returns the state of
     * those that were opened with `keep`.
     */
    open(
      url: string,
      path: string,
      tokens: (string | null)[],
      { headers = [], atOnce = 100, keep = false }: OpenOptions = {},
    ) {
      const { hostname, port } = new URL(url)
      const requests = tokens.map((token, index) => {
        const lines = Object.entries({
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...headers[index],
        }).map(([name, value]) => `${name}: ${value}\r\n`)
        return `GET ${path} HTTP/1.1\r\nhost: ${hostname}\r\naccept: text/event-stream\r\n${lines.join('')}\r\n`
      })
      return order({ do: 'open', host: hostname, port: Number(port), requests, atOnce, keep })
    },
    /** Waits until this many events have arrived in total. */
    async events(total: number, limitMs = 60_000) {
      await eventually(async () => (await count()).events >= total, limitMs)
      return count()
    },
    /** The state of each stream, in the order in which they were opened. */
    streams: async () => (await order({ do: 'streams' })).streams ?? [],
    close: () => order({ do: 'close' }),
    async [Symbol.asyncDispose]() {
      child.kill()
      await child.exited
    },
  }
}

/** The command that runs a program on one core, where the system supports it. */
export const pinned = (core: number) =>
  Bun.which('taskset') ? ['taskset', '-c', String(core)] : []

/** The command that lets a program open this many files; null where the system does not allow it. */
export const withFiles = (files: number) => {
  const prefix = ['sh', '-c', `ulimit -n ${files} && exec "$0" "$@"`]
  const { success } = Bun.spawnSync([...prefix, 'true'], { stdio: ['ignore', 'ignore', 'ignore'] })
  return success ? prefix : null
}

/** The CPU time of a process and its threads in milliseconds, and its resident memory in bytes. */
export const usageOf = async (pids: number[]) => {
  let cpuMs = 0
  let memory = 0
  for (const pid of pids) {
    const stat = await Bun.file(`/proc/${pid}/stat`).text()
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    cpuMs += (Number(fields[11]) + Number(fields[12])) * 10
    memory += Number(fields[21]) * 4096
  }
  return { cpuMs, memory }
}
