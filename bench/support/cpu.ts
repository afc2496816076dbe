import { readdir } from 'node:fs/promises'

/** The CPU time of a process, and of its children that have ended, in milliseconds; 0 when it has gone. */
const timesOf = async (pid: number | string) => {
  const stat = await Bun.file(`/proc/${pid}/stat`)
    .text()
    .catch(() => '')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ms = (...at: number[]) =>
    at.reduce((sum, index) => sum + Number(fields[index] ?? 0) * 10, 0)
  return { parent: Number(fields[1]), own: ms(11, 12), ended: ms(13, 14) }
}

/** The CPU time that these processes have used, in milliseconds. */
export const cpuOf = async (pids: number[]) => {
  const times = await Promise.all(pids.map(timesOf))
  return times.reduce((sum, { own }) => sum + own, 0)
}

/** The CPU time of a Postgres in milliseconds: of all its processes, also of those that have ended. */
export const cpuOfPostgres = async (postmaster: number) => {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  const times = await Promise.all(pids.map(timesOf))
  const children = times.filter(({ parent }) => parent === postmaster)
  const { own, ended } = await timesOf(postmaster)
  return children.reduce((sum, child) => sum + child.own, own + ended)
}

/** The process whose children the backends are. */
export const postmasterOf = async (backend: number) => (await timesOf(backend)).parent

/** How many bytes these processes have sent and received on connections to these ports of this machine. */
export const bytesBetween = async (pids: number[], ports: number[]) => {
  const child = Bun.spawn(['ss', '-Htinp', 'state', 'established'], { stdout: 'pipe' })
  const text = await new Response(child.stdout).text()
  const own = new Set(pids.map(String))
  let bytes = 0
  // One line for a connection, and a second one, which begins with a blank, for its figures.
  for (const [, line = '', figures = ''] of text.matchAll(/^(\S.*)\n\s+(.*)$/gm)) {
    const pid = /pid=(\d+)/.exec(line)?.[1] ?? ''
    const port = Number(line.split(/\s+/)[3]?.split(':').at(-1))
    if (!own.has(pid) || !ports.includes(port)) continue
    for (const [, count] of figures.matchAll(/bytes_(?:sent|received):(\d+)/g))
      bytes += Number(count)
  }
  return bytes
}
