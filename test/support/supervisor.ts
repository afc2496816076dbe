import { readdir, readFile, readlink } from 'node:fs/promises'
import { fromSource } from './binary.ts'
import { eventually } from './eventually.ts'
import { secret } from './service.ts'

export type Line = { msg: string; [fact: string]: unknown }

/** `start` with several workers, each in its own process. */
export type Supervisor = AsyncDisposable & {
  process: Bun.Subprocess
  /** The log of `start` and its workers. */
  lines: Line[]
  readonly stderr: string
  /** Waits for the log line that all workers are ready, and returns the URL in it. */
  url(): Promise<string>
  /** The pids of the running workers, by their numbers. */
  workers(): Promise<Map<number, number>>
}

/** Starts two workers on a free port. Processes that still run at the end of the scope are killed. */
export const supervise = (
  db: { url: string },
  env: Record<string, string> = {},
  command = fromSource,
): Supervisor => {
  const child = Bun.spawn([...command, 'start'], {
    env: {
      ...{ DATABASE_URL: db.url, JWT_SECRET: secret, PORT: '0', WORKERS: '2', DRAIN_MS: '0' },
      ...env,
    },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const lines: Line[] = []
  let stderr = ''
  const reading = Promise.all([
    readLines(child.stdout, line => lines.push(JSON.parse(line))),
    readLines(child.stderr, line => {
      stderr += `${line}\n`
    }),
  ])
  const workers = () => workersOf(child.pid)

  return {
    process: child,
    lines,
    get stderr() {
      return stderr
    },
    async url() {
      const ready = await eventually(() => lines.find(({ msg }) => msg === 'Kairan is ready.'))
      return String(ready.url)
    },
    workers,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await child.exited
      for (const pid of (await workers()).values()) process.kill(pid, 'SIGKILL')
      await reading
    },
  }
}

/** The numbers and pids of the workers that a process has started, also after its end. */
const workersOf = async (supervisor: number) => {
  const found = new Map<number, number>()
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
    if (!command.includes('worker') || !command.includes(`--parent=${supervisor}`)) continue
    const number = command.find(part => part.startsWith('--number='))
    found.set(Number(number?.slice(9)), Number(pid))
  }
  return found
}

/** How many open connections to this port a process has accepted, as the kernel reports. */
export const connectionsOf = async (pid: number, port: number): Promise<number> => {
  const established = new Set<string>()
  const table = await readFile(`/proc/${pid}/net/tcp`, 'utf8')
  for (const row of table.split('\n').slice(1)) {
    const [, local = '', , state, , , , , , inode] = row.trim().split(/\s+/)
    if (state === '01' && Number.parseInt(local.split(':')[1] ?? '', 16) === port) {
      established.add(`socket:[${inode}]`)
    }
  }
  const files = await readdir(`/proc/${pid}/fd`)
  const targets = await Promise.all(
    files.map(fd => readlink(`/proc/${pid}/fd/${fd}`).catch(String)),
  )
  return targets.filter(target => established.has(target)).length
}

const readLines = async (stream: ReadableStream<Uint8Array>, onLine: (line: string) => void) => {
  const decoder = new TextDecoder()
  let partial = ''
  for await (const bytes of stream) {
    const lines = (partial + decoder.decode(bytes, { stream: true })).split('\n')
    partial = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  }
}
