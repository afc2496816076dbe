import { Glob } from 'bun'
import { install } from './apt.ts'

/** Runs a script in several connections for some seconds. Rejects when a writer failed. */
export type Pgbench = (
  script: string,
  options: { url: string; writers: number; seconds: number },
) => Promise<{ commits: number; perSecond: number }>

/** The path of pgbench, which needs less CPU than writers in JavaScript. Null where it is not installed. */
export const findPgbench = async (): Promise<Pgbench | null> => {
  if (find() === null) await install('postgresql', 'postgresql-contrib')
  const program = find()
  if (program === null) {
    console.log('Skipped: there is no pgbench (apt-get install postgresql-contrib).')
    return null
  }
  return async (script, { url, writers, seconds }) => {
    const load = ['-c', `${writers}`, '-T', `${seconds}`, '-M', 'prepared', '-n', '-j', '1']
    const child = Bun.spawn([program, ...load, '-f', '-', url], {
      stdio: [new Blob([script]), 'pipe', 'pipe'],
    })
    const [output, problems] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ])
    const [, commits] = /actually processed: (\d+)/.exec(output) ?? []
    const [, perSecond] = /^tps = ([\d.]+)/m.exec(output) ?? []
    if ((await child.exited) !== 0 || !commits || !perSecond) {
      throw new Error(`pgbench failed: ${problems || output}`)
    }
    return { commits: Number(commits), perSecond: Number(perSecond) }
  }
}

const find = () => {
  // On Debian it is not in the PATH, or the one in the PATH is a wrapper that looks for clusters.
  const [debian] = [...new Glob('*/bin/pgbench').scanSync({ cwd: debianHome, absolute: true })]
  return debian ?? Bun.which('pgbench')
}

const debianHome = '/usr/lib/postgresql'
