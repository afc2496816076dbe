/**
 * What becomes slower as Kairan grows? First with the number of open streams: one channel for each stream, then one
 * channel for all. Rows are read a thousand at a time, so few streams get several events in one write. Then with the
 * length of the log: a stream that resumes, a stream without a cursor, the numbering, and the retention. LOG_ROWS adds
 * a length, such as 10000000 (takes minutes).
 */

import { allDelivered } from './support/delivered.ts'
import { kairan } from './support/kairan.ts'
import { ofLength } from './support/length.ts'
import type { Plan } from './support/plans.ts'
import { mark, openReaders, pinned, usageOf, withFiles } from './support/readers.ts'
import { tokens } from './support/server.ts'
import { measured, median, printTable } from './support/table.ts'

const text = mark + 'x'.repeat(200 - '{"text":""}'.length - 1)

/** Delivers to this many streams; null where the system does not allow enough open files. */
const ofStreams = async (streams: number) => {
  const files = withFiles(streams + 500)
  if (!files) return null
  await using peer = await kairan({ on: [...pinned(0), ...files] })
  await using readers = await openReaders([...pinned(1), ...files])
  const { open } = await readers.open(peer.url, peer.path, await tokens(streams))
  if (open !== streams) throw new Error(`${open} of ${streams} streams are open`)
  await Bun.sleep(1000)
  const { memory } = await usageOf(peer.pids)

  const deliver = async (channel: string, rows: number, readersOfEach: number) => {
    const count = rows * readersOfEach
    const rates: number[] = []
    const { median: micros } = await measured(async () => {
      const { events } = await readers.count()
      const { cpuMs } = await usageOf(peer.pids)
      const begin = performance.timeOrigin + performance.now()
      await peer.sql.unsafe(`
        insert into kairan.notifications (channels, payload)
        select array[${channel}], '{"text": "${text}"}' from generate_series(1, ${rows}) n`)
      const { lastAtMs } = await readers.events(events + count)
      rates.push((count * 1000) / (lastAtMs - begin))
      await allDelivered(peer.sql)
      return (((await usageOf(peer.pids)).cpuMs - cpuMs) * 1000) / count
    })
    return { micros, perSecond: median(rates) }
  }
  const own = await deliver(`'user-' || n % ${streams}`, 10_000, 1)
  const all = await deliver(`'all-users'`, 1_000_000 / streams, streams)
  return { streams, memory, own, all }
}

const whole = (value: number) => Math.round(value).toLocaleString('en')

const sizes = []
for (const streams of [100, 1000, 10_000, 20_000]) {
  const size = await ofStreams(streams)
  if (size) sizes.push(size)
  else console.log(`Skipped: ${whole(streams)} streams need a higher limit of open files.`)
}
console.log('By the number of streams: one core, events of 200 bytes')
printTable(
  ['streams', 'own channel: /s', 'µs CPU each', 'all-users: /s', 'µs CPU each', 'MiB while idle'],
  sizes.map(({ streams, own, all, memory }) => [
    whole(streams),
    whole(own.perSecond),
    own.micros.toFixed(0),
    whole(all.perSecond),
    all.micros.toFixed(2),
    (memory / 1024 / 1024).toFixed(0),
  ]),
)

const lengths = [10_000, 1_000_000, Number(process.env.LOG_ROWS ?? 0)]
const logs: Awaited<ReturnType<typeof ofLength>>[] = []
for (const rows of new Set(lengths.filter(rows => rows > 0))) logs.push(await ofLength(rows))

const [small, large] = [logs[0], logs.at(-1)]
const header = [...logs.map(({ rows }) => whole(rows)), 'ratio']
const row = (name: string, values: number[], digits: number) => [
  name,
  ...values.map(value => value.toFixed(digits)),
  `${((values.at(-1) ?? Number.NaN) / (values[0] ?? Number.NaN)).toFixed(2)} ×`,
]
console.log('\nBy the number of rows in the log, milliseconds')
printTable(
  ['', ...header],
  [...(small?.found.keys() ?? [])].map(name =>
    row(
      name,
      logs.map(({ found }) => found.get(name) ?? Number.NaN),
      1,
    ),
  ),
)
console.log('\nBlocks that a statement touches at the most')
printTable(
  ['', ...header],
  [...(large?.plans.keys() ?? [])].map(name =>
    row(
      name.slice(0, 70),
      logs.map(({ plans }) => plans.get(name)?.blocks ?? Number.NaN),
      0,
    ),
  ),
)
const all = logs.flatMap(({ plans }) => [...plans.values()])
const list = (what: string, plans: Plan[]) => {
  console.log(`\n${what}: ${plans.length === 0 ? 'none' : ''}`)
  for (const { statement } of plans) console.log(`  ${statement.slice(0, 100)}`)
}
const scans = all.filter(({ scansTable }) => scansTable)
list('Statements that scan a table', scans)
list(
  'Statements that start parallel workers',
  all.filter(({ parallel }) => parallel),
)
process.exitCode = scans.length === 0 ? 0 : 1
