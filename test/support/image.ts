import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './program.ts'

export type Image = AsyncDisposable & {
  /** What `docker inspect` calls Config. */
  config: { User: string; Env: string[]; Entrypoint: string[]; Cmd: string[]; StopSignal: string }
  /** The files that it has besides those of its base. */
  files: string[]
  /** Starts a command in a container, on the network of this machine. */
  spawn(command: string[], env: Record<string, string>): Bun.Subprocess<'ignore', 'pipe', 'pipe'>
}

/**
 * Builds the Dockerfile with Debian's buildah, as root. No registry is asked: each base image is stood in for by an
 * image of the same name, made of this machine's bun and C library. What the bases of the Dockerfile hold besides
 * these is not tested.
 */
export const buildImage = async (): Promise<Image> => {
  const folder = await mkdtemp(join(tmpdir(), 'kairan-image-'))
  const base = [
    ...['buildah', '--root', join(folder, 'root'), '--runroot', join(folder, 'run')],
    ...['--storage-driver', 'vfs'],
  ]
  const buildah = (...args: string[]) => run([...base, ...args])
  try {
    const { build, runtime } = await basesOf('Dockerfile')
    const libraries = await librariesOf(process.execPath)
    await standIn(buildah, build, {
      programs: { [process.execPath]: 'usr/local/bin/bun', '/bin/sh': 'bin/sh' },
      libraries,
      config: ['--env', 'PATH=/usr/local/bin:/bin'],
    })
    await standIn(buildah, runtime, { programs: {}, libraries, config: ['--user', 'nonroot'] })
    await buildah(
      ...['bud', '--pull-never', '--isolation', 'chroot', '--layers=false', '--format', 'docker'],
      // What this checkout was installed from.
      ...['--volume', `${await run([process.execPath, 'pm', 'cache'])}:/root/.bun/install/cache`],
      ...['-t', 'kairan', '.'],
    )
    const { Docker } = JSON.parse(await buildah('inspect', '--type', 'image', 'kairan'))
    const container = await buildah('from', '--pull-never', 'kairan')
    const root = await buildah('mount', container)
    const found = await run(['find', root, '-type', 'f', '-printf', '%P\n'])
    const known = new Set(libraries.map(path => path.slice(1)))
    return {
      config: Docker.config,
      files: found.split('\n').filter(path => !known.has(path) && path !== 'etc/passwd'),
      spawn: (command, env) =>
        Bun.spawn(
          [
            ...[...base, 'run', '--isolation', 'chroot'],
            ...Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
            ...[container, '--', ...command],
          ],
          { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
        ),
      [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

/** The process in a container that has this setting; undefined when there is none. */
export const pidOf = async (setting: string) => {
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (!command.startsWith('/usr/local/bin/kairan\0')) continue
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    if (environment.split('\0').includes(setting)) return Number(pid)
  }
  return undefined
}

const basesOf = async (path: string) => {
  const text = await Bun.file(path).text()
  const [build = '', runtime = ''] = [...text.matchAll(/^FROM (\S+)/gm)].map(([, name]) => name)
  return { build, runtime }
}

/** The files of the C library that Bun is linked with, as the binary then is. */
const librariesOf = async (program: string) => {
  const lines = await run(['ldd', program])
  return [...lines.matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path)
}

const standIn = async (
  buildah: (...args: string[]) => Promise<string>,
  name: string,
  options: { programs: Record<string, string>; libraries: string[]; config: string[] },
) => {
  const container = await buildah('from', 'scratch')
  const root = await buildah('mount', container)
  const programs = Object.entries(options.programs)
  for (const path of options.libraries) programs.push([path, path.slice(1)])
  for (const [from, to] of programs) {
    // Not Bun.write: it would follow a link of this machine into nowhere.
    await run(['install', '-D', '-m', '755', from, join(root, to)])
  }
  const users = 'root:x:0:0::/root:/bin/sh\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n'
  await Bun.write(join(root, 'etc/passwd'), users)
  await run(['install', '-d', '-m', '1777', join(root, 'tmp')])
  await buildah('config', ...options.config, container)
  await buildah('commit', '--rm', '-q', container, name)
}
