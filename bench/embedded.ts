/**
 * What does Kairan cost as a plugin of an Elysia application, beside the service in a process of its own? By CPU, which
 * a busy machine changes less than time: for a stream that opens, and for an event that reaches a stream. The two take
 * turns.
 */
import { connect } from '../src/postgres/connect.ts'
import { freePort } from '../test/support/port.ts'
import { isReady } from '../test/support/process.ts'
import { mark, openReaders, pinned, usageOf } from './support/readers.ts'
import { benchService, ownDatabase, secret, tokens } from './support/server.ts'
import { median, printTable, runs } from './support/table.ts'

const streams = Number(process.env.STREAMS ?? 2000)
const warmUp = 500
const events = 2000
const text = mark + 'x'.repeat(200 - '{"text":""}'.length - 1)
const identities = await tokens(streams + warmUp)

type Server = AsyncDisposable & { url: string; pid: number }
type Result = { openMicros: number; eventNanos: number; eventsPerSecond: number }

const plugin = async (databaseUrl: string): Promise<Server> => {
  const port = await freePort()
  const file = `${import.meta.dir}/peers/embedded.ts`
  const command = [...pinned(0), process.execPath, file, `${port}`, databaseUrl, secret]
  const child = Bun.spawn(command, { stdio: ['ignore', 'inherit', 'inherit'] })
  const url = `http://127.0.0.1:${port}/kairan`
  while (!(await isReady(url))) {
    if (child.exitCode !== null) throw new Error(`The application ended with ${child.exitCode}`)
    await Bun.sleep(50)
  }
  return {
    url,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await child.exited
    },
  }
}

const service = (databaseUrl: string): Promise<Server> =>
  benchService(databaseUrl, { MAX_STREAMS: '100000' }, pinned(0))

const measure = async (start: (databaseUrl: string) => Promise<Server>): Promise<Result> => {
  await using database = await ownDatabase()
  await using server = await start(database.url)
  await using readers = await openReaders()
  const path = `${new URL(server.url).pathname.replace(/\/$/, '')}/notifications/stream`
  await readers.open(server.url, path, identities.slice(0, warmUp))
  const before = await usageOf([server.pid])
  const { open } = await readers.open(server.url, path, identities.slice(warmUp))
  if (open !== streams + warmUp) throw new Error(`${open} of ${streams + warmUp} opened`)
  const opened = await usageOf([server.pid])
  const sql = connect(database.url, { max: 1, name: 'bench', direct: true })
  const fanOut = async (count: number) => {
    const { events: had } = await readers.count()
    const start = performance.now()
    await sql`
      insert into kairan.notifications (channels, payload)
      select array['all-users'], jsonb_build_object('text', ${text}::text) from generate_series(1, ${count}::int)`
    await readers.events(had + count * open)
    return (count * open) / ((performance.now() - start) / 1000)
  }
  await fanOut(500)
  const idle = await usageOf([server.pid])
  const eventsPerSecond = await fanOut(events)
  const after = await usageOf([server.pid])
  await sql.end()
  return {
    openMicros: ((opened.cpuMs - before.cpuMs) * 1000) / streams,
    eventNanos: ((after.cpuMs - idle.cpuMs) * 1e6) / (events * open),
    eventsPerSecond,
  }
}

const found: Record<'service' | 'plugin', Result[]> = { service: [], plugin: [] }
for (let run = 0; run < runs; run++) {
  found.service.push(await measure(service))
  found.plugin.push(await measure(plugin))
}

const of = (name: keyof typeof found, figure: keyof Result) =>
  median(found[name].map(result => result[figure]))
const row = (title: string, figure: keyof Result, digits: number) => [
  title,
  of('service', figure).toFixed(digits),
  of('plugin', figure).toFixed(digits),
  `${(of('plugin', figure) / of('service', figure)).toFixed(2)} ×`,
]
printTable(
  [`${streams} streams, ${runs} runs`, 'service', 'plugin', 'plugin is'],
  [
    row('µs CPU to open a stream', 'openMicros', 0),
    row('ns CPU for an event on a stream', 'eventNanos', 0),
    row('events a second to all streams', 'eventsPerSecond', 0),
  ],
)
