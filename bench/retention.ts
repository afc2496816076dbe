/**
 * What does it cost the publishers when much of the log gets too old at once? 8 writers publish, one row each, and the
 * service delivers, while LOG_ROWS (1,000,000) old deliveries are removed. In turns: BLOCK_SECONDS (10) with retention,
 * then half as long without, so that both have the same machine, autovacuum included. Before that and after it, too.
 */
import { createRetention } from '../src/log/retention.ts'
import { connect } from '../src/postgres/connect.ts'
import { createDatabase } from '../src/postgres/database.ts'
import { migrate } from '../src/postgres/migrate.ts'
import { fillPast } from './support/past.ts'
import { findPgbench } from './support/pgbench.ts'
import { usageOf } from './support/readers.ts'
import { countsOfLog, sizesOfLog, vacuumsIn } from './support/relations.ts'
import { benchService, ownDatabase } from './support/server.ts'
import { median, printTable } from './support/table.ts'

const rows = Number(process.env.LOG_ROWS ?? 1_000_000)
const seconds = Number(process.env.BLOCK_SECONDS ?? 10)
const writers = 8
const dayMs = 86_400_000

const found = await findPgbench()
if (!found) process.exit(0)
const pgbench = found

await using database = await ownDatabase({
  shared_buffers: '512MB',
  wal_level: 'minimal',
  max_wal_senders: '0',
  log_autovacuum_min_duration: '0',
})
await migrate(database.url)
const sql = connect(database.url, { max: 2, name: 'bench', direct: true })
await fillPast(sql, {
  rows,
  users: 1000,
  until: new Date(Date.now() - 8 * dayMs),
  overMs: dayMs,
})
const sizesBefore = await sizesOfLog(sql)
await using _service = await benchService(database.url, { RETENTION: '365d' })

const script = `
  \\set user random(0, 999)
  insert into kairan.notifications (channels, payload, type)
  values (array['user-' || :user], '{"text": "${'x'.repeat(186)}"}', 'order.shipped');`
const publish = async (forSeconds = seconds) =>
  (await pgbench(script, { url: database.url, writers, seconds: Math.ceil(forSeconds) })).perSecond

const left = async () => {
  const [row] = await sql<{ left: boolean }[]>`
    select exists (select from kairan.numbered where seq <= ${rows}) as left`
  return row?.left === true
}
const removed = async () => {
  const [row] = await sql<{ floor: number }[]>`select floor::float8 from kairan.log_state`
  return Math.min(row?.floor ?? 0, rows)
}

const remover = createDatabase(database.url, {
  max: 1,
  name: 'bench',
  direct: true,
  deadlineMs: 30_000,
})
const [backend] = await remover.run(sql => sql<{ pid: number }[]>`select pg_backend_pid() as pid`)
let isOn = false
const retention = createRetention({
  database: remover,
  keepMs: 7 * dayMs,
  everyMs: 100,
  isNeeded: () => isOn,
  report: { error: console.error, warn: console.error, info: console.log },
})

const before: number[] = []
const beside: number[] = []
const between: number[] = []
const after: number[] = []
for (let i = 0; i < 3; i++) before.push(await publish())
retention.start()
let onMs = 0
let gone = 0
while (await left()) {
  isOn = true
  const begin = performance.now()
  beside.push(await publish())
  isOn = false
  onMs += performance.now() - begin
  between.push(await publish(seconds / 2))
  const upTo = await removed()
  console.log(
    `${(onMs / 1000).toFixed(0)} s of retention: ${upTo.toLocaleString('en')} removed, ` +
      `${Math.round(((upTo - gone) * 1000) / (onMs / beside.length)).toLocaleString('en')}/s; ` +
      `commits/s ${beside.at(-1)?.toFixed(0)} beside, ${between.at(-1)?.toFixed(0)} without`,
  )
  gone = upTo
}
const { cpuMs } = await usageOf([backend?.pid ?? 0])
await retention.stop()
for (let i = 0; i < 3; i++) after.push(await publish())

const ratios = beside.map((rate, block) => rate / (between[block] ?? Number.NaN))
const row = (name: string, values: number[], ratio: number) => [
  name,
  Math.round(median(values)).toLocaleString('en'),
  ratio.toFixed(2),
]
printTable(
  [`${writers} writers`, 'commits/s', 'ratio'],
  [
    row('before', before, median(before) / median(between)),
    row('beside retention', beside, median(ratios)),
    row('in turn with it, without', between, 1),
    row('after', after, median(after) / median(between)),
  ],
)
console.log(
  `${rows.toLocaleString('en')} deliveries removed in ${(onMs / 1000).toFixed(0)} s of retention, ` +
    `${Math.round((rows * 1000) / onMs).toLocaleString('en')}/s, ` +
    `${((cpuMs * 1000) / rows).toFixed(1)} µs of the backend for each`,
)
const sizesAfter = await sizesOfLog(sql)
printTable(
  ['MiB', 'before', 'after'],
  [...sizesAfter].map(([name, mib]) => [
    name,
    (sizesBefore.get(name) ?? 0).toFixed(0),
    mib.toFixed(0),
  ]),
)
const vacuums = await vacuumsIn(database.log)
printTable(
  ['', 'rows', 'dead rows', 'scans', 'autovacuums', 'their CPU s', 'the longest s'],
  (await countsOfLog(sql)).map(({ name, ...counts }) => {
    const own = vacuums.filter(({ table }) => table === name)
    return [
      name,
      ...[counts.live, counts.dead, counts.scans, own.length].map(n => n.toLocaleString('en')),
      own.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0).toFixed(1),
      Math.max(0, ...own.map(run => run.seconds)).toFixed(0),
    ]
  }),
)
await remover.stop()
await sql.end()
