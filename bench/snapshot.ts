/**
 * What does it cost when somebody holds a snapshot, as pg_dump or a long report does? The time of a turn that numbers
 * one delivery, and the CPU of its backend, before, and after many turns and deliveries while a repeatable-read
 * transaction stays open. Then the same beside a transaction that has published BENCH_OPEN_ROWS (10,000) notifications
 * and stays open for BENCH_OPEN_SECONDS (10), and how long its own take after its commit. BENCH_TURNS and BENCH_ROWS set
 * how many turns and deliveries there are under the snapshot.
 */
import { readFileSync } from 'node:fs'
import postgres from 'postgres'
import { advance } from '../src/log/log-store.ts'
import { connect } from '../src/postgres/connect.ts'
import { migrate } from '../src/postgres/migrate.ts'
import { ownDatabase } from './support/server.ts'
import { median, printTable } from './support/table.ts'

const turns = Number(process.env.BENCH_TURNS ?? 5000)
const bulk = Number(process.env.BENCH_ROWS ?? 100_000)
const openRows = Number(process.env.BENCH_OPEN_ROWS ?? 10_000)
const openSeconds = Number(process.env.BENCH_OPEN_SECONDS ?? 10)

await using database = await ownDatabase()
await migrate(database.url)
const sql = connect(database.url, { max: 1, name: 'bench', direct: true })
const other = postgres(database.url, { max: 2, onnotice: () => undefined })
const [backend] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
const cpuMs = () =>
  Number(readFileSync(`/proc/${backend?.pid}/schedstat`, 'utf8').split(' ')[0]) / 1_000_000

let after: number | null = null
const turn = async () => {
  const found = await advance(sql, {
    ...{ after, seen: null, batch: null, awakeMs: 0, owner: 0 },
  })
  after = found.end
  return found
}
const publish = () => other`select kairan.publish('user-1', '{"n": 1}')`

const measure = async () => {
  const ms: number[] = []
  const cpu: number[] = []
  for (let i = 0; i < 300; i++) {
    await publish()
    const from = performance.now()
    const cpuFrom = cpuMs()
    await turn()
    ms.push(performance.now() - from)
    cpu.push(cpuMs() - cpuFrom)
  }
  return [median(ms), median(cpu)] as const
}

await turn()
await measure()
const before = await measure()
const holder = await other.reserve()
await holder.unsafe(
  'begin isolation level repeatable read; select count(*) from kairan.notifications',
)
for (let i = 0; i < turns; i++) {
  await publish()
  await turn()
}
const afterTurns = await measure()
await other`
  insert into kairan.notifications (channels, payload)
  select array['user-' || n % 1000], jsonb_build_object('n', n) from generate_series(1, ${bulk}::int) n`
while ((await turn()).more);
await other`update kairan.numbered set status = 'd', recipients = 1 where status = 'p'`
const afterBulk = await measure()
await holder`rollback`

const beforeOpen = await measure()
await holder.unsafe(`
  begin;
  insert into kairan.notifications (channels, payload)
  select array['user-1'], jsonb_build_object('open', n) from generate_series(1, ${openRows}) n`)
for (const end = performance.now() + openSeconds * 1000; performance.now() < end; ) {
  await publish()
  await turn()
  await Bun.sleep(10)
}
const whileOpen = await measure()
await turn()
const [log] = await other`select head from kairan.log`
await holder`commit`
holder.release()
const committed = performance.now()
while ((await turn()).more);
const ownMs = performance.now() - committed
const [own] = await other`
  select count(*)::int as count, bool_and((n.payload ->> 'open')::int = d.seq - ${log?.head}::bigint) as in_order
  from kairan.numbered d join kairan.notifications n on n.id = d.notification_id where d.seq > ${log?.head}::bigint`

const row = (name: string, [ms, cpu]: readonly [number, number]) => [
  name,
  ...[ms.toFixed(2), (ms / before[0]).toFixed(2), cpu.toFixed(3), (cpu / before[1]).toFixed(2)],
]
printTable(
  ['', 'ms a turn', 'ratio', 'CPU ms', 'ratio'],
  [
    row('before', before),
    row(`snapshot held, ${turns.toLocaleString('en')} turns`, afterTurns),
    row(`and ${bulk.toLocaleString('en')} deliveries with statuses`, afterBulk),
  ],
)
const ratio = (index: 0 | 1) => (whileOpen[index] / beforeOpen[index]).toFixed(2)
console.log(
  `Beside a transaction that has been open for ${openSeconds} s: ${ratio(0)} x the time, ${ratio(1)} x the CPU. ` +
    `Its ${own?.count} deliveries: numbered ${ownMs.toFixed(0)} ms after its commit, ` +
    `${own?.in_order ? '' : 'NOT '}in order.`,
)
await other.end()
await sql.end()
