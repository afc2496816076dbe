/**
 * What does a publish cost the one who publishes? The CPU time of the publisher's backend for a transaction of one row,
 * against a plain insert into a table with one key, in turns and in the same run: only the ratio means something. An
 * instance is awake (no NOTIFY) or asleep (the transaction rings). The peer for publishing in one's own transaction is
 * a job of graphile-worker, which its SQL function adds. Linux only: it reads /proc.
 */
import { readFileSync } from 'node:fs'
import { runMigrations } from 'graphile-worker'
import postgres from 'postgres'
import { migrate } from '../src/postgres/migrate.ts'
import { ownDatabase } from './support/server.ts'
import { median, printTable, quantile } from './support/table.ts'

const rounds = 40
const times = 200

await using database = await ownDatabase()
await migrate(database.url)
await runMigrations({ connectionString: database.url })
const sql = postgres(database.url, { max: 1, onnotice: () => undefined })
await sql.unsafe(`
  create table plain (
    id uuid primary key default gen_random_uuid(), channels text[] not null, payload jsonb not null, type text,
    created_at timestamptz not null default clock_timestamp()
  )`)
const [backend] = await sql`select pg_backend_pid() as pid`
const cpuUs = () =>
  Number(readFileSync(`/proc/${backend?.pid}/schedstat`, 'utf8').split(' ')[0]) / 1000

const values = ['user-42', '{"orderId": 7, "total": "12.50"}', 'order.shipped']
const ask = (text: string) => () => sql.unsafe(text, values, { prepare: true })
const insertInto = (table: string) =>
  ask(
    `insert into ${table} (channels, payload, type) values (array[$1], $2::text::jsonb, $3) returning id`,
  )
const publish = ask('select kairan.publish($1::text, $2::text::jsonb, $3::text)')
const addJob = ask(
  `select (graphile_worker.add_job($3, json_build_object('channel', $1::text, 'payload', $2::text::json))).id`,
)
const awake = () => sql`select setval('kairan.awake_until', 9000000000000000000)`
const asleep = () => sql`select setval('kairan.awake_until', 1000)`

const cases = [
  { name: 'plain insert', before: awake, run: insertInto('plain') },
  { name: 'insert, awake', before: awake, run: insertInto('kairan.notifications') },
  { name: 'kairan.publish, awake', before: awake, run: publish },
  { name: 'insert, asleep', before: asleep, run: insertInto('kairan.notifications') },
  { name: 'kairan.publish, asleep', before: asleep, run: publish },
  { name: 'graphile_worker.add_job', before: asleep, run: addJob },
].map(each => ({ ...each, cpu: [] as number[] }))

for (let round = 0; round < rounds; round++) {
  for (const { before, run, cpu } of cases) {
    await before()
    for (let i = 0; i < 20; i++) await run()
    const from = cpuUs()
    for (let i = 0; i < times; i++) await run()
    cpu.push((cpuUs() - from) / times)
  }
}
// Each round's ratio is of the same seconds. The low quantile is what other programs on the machine disturbed least.
const [plain] = cases
printTable(
  ['', 'µs of the backend', 'ratio', 'of the lowest tenth'],
  cases.map(({ name, cpu }) => [
    name,
    median(cpu).toFixed(1),
    median(cpu.map((us, round) => us / (plain?.cpu[round] ?? Number.NaN))).toFixed(2),
    (quantile(cpu, 0.1) / quantile(plain?.cpu ?? [], 0.1)).toFixed(2),
  ]),
)
await sql.end()
