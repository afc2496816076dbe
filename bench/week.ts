/**
 * Do the tables stay as large as they are? Steady traffic with a RETENTION of a week, at a compressed clock: a week is
 * WEEK_SECONDS (60) long, and NOTIFICATIONS (200,000) are published in each. It begins with the full log of a week, made
 * within FILL_SECONDS, and goes on for WEEKS (3). It prints how large each table and each index is, what autovacuum has
 * done, and how much was read by scans of a table: nothing should grow.
 */
import { connect } from '../src/postgres/connect.ts'
import { migrate } from '../src/postgres/migrate.ts'
import { fillPast } from './support/past.ts'
import { openReaders } from './support/readers.ts'
import { countsOfLog, sizesOfLog, vacuumsIn } from './support/relations.ts'
import { benchService, ownDatabase, tokens } from './support/server.ts'
import { printTable } from './support/table.ts'

const weekSeconds = Number(process.env.WEEK_SECONDS ?? 60)
const weeks = Number(process.env.WEEKS ?? 3)
const aWeek = Number(process.env.NOTIFICATIONS ?? 200_000)
const fillSeconds = Number(process.env.FILL_SECONDS ?? 10 + aWeek * 30e-6)
const streams = 100
// Half of the users are away, so half of the deliveries are never taken.
const users = streams * 2
const everyMs = 100
const atOnce = Math.ceil((aWeek * everyMs) / (weekSeconds * 1000))
const samples = 6

await using database = await ownDatabase({
  autovacuum_naptime: '1s',
  log_autovacuum_min_duration: '0',
  shared_buffers: '512MB',
  wal_level: 'minimal',
  max_wal_senders: '0',
})
await migrate(database.url)
const sql = connect(database.url, { max: 2, name: 'bench', direct: true })
const until = new Date(Date.now() + fillSeconds * 1000)
await fillPast(sql, { rows: aWeek, users, until, overMs: weekSeconds * 1000, pendingOf: 2 })
const lateMs = Date.now() - until.getTime()
if (lateMs < 0) await Bun.sleep(-lateMs)
else console.log(`It took ${(lateMs / 1000).toFixed(0)} s longer than FILL_SECONDS.`)

await using service = await benchService(database.url, { RETENTION: `${weekSeconds}s` })
await using readers = await openReaders([])
await readers.open(service.url, '/notifications/stream', await tokens(streams))

const publish = () => sql`
  insert into kairan.notifications (channels, payload, type, expires_at)
  select array['user-' || (random() * ${users - 1}::int)::int], jsonb_build_object('text', repeat('x', 185)),
    'order.shipped', case when n % 50 = 0 then now() + interval '2 seconds' end
  from generate_series(1, ${atOnce}::int) n`

const atStart = new Map((await countsOfLog(sql)).map(counts => [counts.name, counts]))
const sample = async () => {
  const found = new Map<string, string>()
  const [log] = await sql<
    { alive: number }[]
  >`select (head - floor)::float8 as alive from kairan.log`
  found.set('deliveries above the floor', whole(log?.alive ?? 0))
  for (const [name, mib] of await sizesOfLog(sql)) found.set(`${name} MiB`, whole(mib))
  for (const { name, ...counts } of await countsOfLog(sql)) {
    const first = atStart.get(name)
    found.set(`${name}: dead rows`, whole(counts.dead))
    found.set(`${name}: autovacuums`, whole(counts.vacuums - (first?.vacuums ?? 0)))
    found.set(`${name}: scans of the table`, whole(counts.scans - (first?.scans ?? 0)))
    found.set(`${name}: rows read by them`, whole(counts.scanned - (first?.scanned ?? 0)))
  }
  return found
}
const whole = (value: number) => Math.round(value).toLocaleString('en')

const totalMs = weeks * weekSeconds * 1000
const begin = performance.now()
const taken: { weeks: number; found: Map<string, string> }[] = []
let published = 0
let turn = 0
const take = async (atMs: number) => {
  const found = await sample()
  taken.push({ weeks: atMs / 1000 / weekSeconds, found })
  console.log(
    `Week ${(atMs / 1000 / weekSeconds).toFixed(2)}: ${whole(published)} published, ` +
      [...found].map(([name, value]) => `${name} ${value}`).join(', '),
  )
}
await take(0)
for (;;) {
  const passedMs = performance.now() - begin
  if (passedMs >= (taken.length * totalMs) / samples) await take(passedMs)
  if (passedMs >= totalMs) break
  // On a machine that is too busy, turns are left out: the weeks have their length.
  turn = Math.max(turn + 1, Math.floor(passedMs / everyMs))
  await Bun.sleep(Math.max(0, begin + turn * everyMs - performance.now()))
  await publish()
  published += atOnce
}

console.log(
  `${whole(published)} notifications in ${weeks} weeks of ${weekSeconds} s, after one with ${whole(aWeek)}`,
)
printTable(
  ['week', ...taken.map(({ weeks }) => weeks.toFixed(2))],
  [...(taken[0]?.found.keys() ?? [])].map(name => [
    name,
    ...taken.map(({ found }) => found.get(name) ?? ''),
  ]),
)
const vacuums = await vacuumsIn(database.log)
printTable(
  ['autovacuum', 'runs', 'with a scan of the indexes', 'CPU s', 'the longest s'],
  [...new Set(vacuums.map(({ table }) => table))].toSorted().map(table => {
    const own = vacuums.filter(run => run.table === table)
    return [
      table,
      whole(own.length),
      whole(own.filter(({ indexScans }) => indexScans > 0).length),
      own.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0).toFixed(1),
      Math.max(...own.map(({ seconds }) => seconds)).toFixed(0),
    ]
  }),
)
await sql.end()
