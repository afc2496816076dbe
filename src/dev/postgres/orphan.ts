import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { exists, type Home } from './home.ts'

/**
 * Stops the server that a process which was killed has left running. The caller has the claim. A server
 * that was killed itself leaves its note, and the number there may be another program's by now: that one
 * is left alone, and the note removed, because Postgres would take it for a server.
 */
export const endOrphan = async ({ data }: Home) => {
  const note = join(data, 'postmaster.pid')
  if (!(await exists(note))) return
  const pid = Number((await readFile(note, 'utf8')).split('\n')[0])
  const isServer = async () => (await commandLine(pid)).includes(`/bin/postgres -D ${data} `)
  if (!(await isServer())) {
    // One that runs elsewhere may have this data by another name. Postgres is to judge that.
    if (!(await commandLine(pid)).includes('postgres -D ')) await rm(note)
    return
  }
  process.kill(pid, 'SIGINT')
  const deadline = Date.now() + stopLimitMs
  while (await isServer()) {
    if (Date.now() > deadline) {
      throw new Error(
        `Postgres, process ${pid}, is left from an earlier run and does not stop. End it.`,
      )
    }
    await Bun.sleep(20)
  }
}

/** The server writes a checkpoint first. */
const stopLimitMs = 60_000

/** What a process runs; empty when it has ended. */
const commandLine = async (pid: number) => {
  if (!Number.isSafeInteger(pid) || pid <= 0) return ''
  if (!(await exists('/proc/self/cmdline'))) {
    return Bun.$`ps -ww -o command= -p ${pid}`.nothrow().text()
  }
  const found = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return found.replaceAll('\0', ' ')
}
