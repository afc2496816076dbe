import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { exists, type Home } from './home.ts'

/**
 * Stops a server that a killed process has left running. The caller has claimed the directory. A server that was killed
 * itself leaves its file postmaster.pid, and the process id in it may belong to another program by now. That program is
 * left alone, and the file is removed, because Postgres would take the program for a server.
 */
export const endOrphan = async ({ data }: Home) => {
  const note = join(data, 'postmaster.pid')
  if (!(await exists(note))) return
  const pid = Number((await readFile(note, 'utf8')).split('\n')[0])
  const isServer = async () => (await commandLine(pid)).includes(`/bin/postgres -D ${data} `)
  if (!(await isServer())) {
    // A server may use this data by another path. Postgres itself checks that.
    if (!(await commandLine(pid)).includes('postgres -D ')) await rm(note)
    return
  }
  process.kill(pid, 'SIGINT')
  const deadline = Date.now() + stopLimitMs
  while (await isServer()) {
    if (Date.now() > deadline) {
      throw new Error(
        `Postgres, process ${pid}, is left from an earlier run and does not stop. End that process.`,
      )
    }
    await Bun.sleep(20)
  }
}

/** How long it may take: the server writes a checkpoint first. */
const stopLimitMs = 60_000

/** The command line of a process; empty when it has ended. */
const commandLine = async (pid: number) => {
  if (!Number.isSafeInteger(pid) || pid <= 0) return ''
  if (!(await exists('/proc/self/cmdline'))) {
    return Bun.$`ps -ww -o command= -p ${pid}`.nothrow().text()
  }
  const found = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return found.replaceAll('\0', ' ')
}
