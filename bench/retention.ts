/**
 * What does it cost the publishers when much of the log gets too old at once? 8 writers publish, one row each, and the
 * service delivers, while LOG_ROWS (1,000,000) old deliveries are removed; before and after that, the same without.
 */
import { createRetention } from '../src/log/retention.ts'
import { connect } from '../src/postgres/connect.ts'
import { createDatabase } from '../src/postgres/database.ts'
import { migrate } from '../src/postgres/migrate.ts'
import { findPgbench } from './support/pgbench.ts'
import { usageOf } from './support/readers.ts'
import { benchService, ownDatabase } from './support/server.ts'
import { median, printTable } from './support/table.ts'

const rows = Number(process.env.LOG_ROWS ?? 1_000_000)
const writers = 8
const seconds = 5

const found = await findPgbench()
if (!found) process.exit(0)
const pgbench = found

await using database = await ownDatabase({ shared_buffers: '512MB' })
await migrate(database.url)
const sql = connect(database.url, { max: 2, name: 'bench', direct: true })

console.log(`Filling: ${rows.toLocaleString('en')} deliveries of last week`)
await sql.unsafe(`
  alter table kairan.notifications disable trigger user;
  insert into kairan.notifications (id, channels, payload, bytes, type, created_at)
  select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, array['user-' || n % 1000],
    '{"text": "${'x'.repeat(186)}"}', 200, 'order.shipped', now() - interval '8 days' + n * interval '1 ms'
  from generate_series(1, ${rows}) n;
  alter table kairan.notifications enable trigger user`)
await sql.unsafe(`
  insert into kairan.numbered (seq, notification_id, channel, type, status, recipients, created_at, delivered_at)
  select ('x' || right(id::text, 12))::bit(48)::bigint, id, channels[1], type, 'd', 1, created_at, created_at
  from kairan.notifications`)
await sql.unsafe(`
  insert into kairan.batches (n, head, done, done_place, place)
  select n + 1, ${rows}, pg_current_snapshot(), pg_sequence_last_value('kairan.notifications_place_seq'),
    pg_sequence_last_value('kairan.notifications_place_seq')
  from kairan.batches order by n desc limit 1`)
await sql.unsafe('vacuum analyze kairan.notifications')
await sql.unsafe('vacuum analyze kairan.numbered')
await sql.unsafe('checkpoint')
await using _service = await benchService(database.url, { RETENTION: '365d' })

const script = `
  \\set user random(0, 999)
  insert into kairan.notifications (channels, payload, type)
  values (array['user-' || :user], '{"text": "${'x'.repeat(186)}"}', 'order.shipped');`
const publish = async () =>
  (await pgbench(script, { url: database.url, writers, seconds })).perSecond

const left = async () => {
  const [row] = await sql<{ left: boolean }[]>`
    select exists (select from kairan.numbered where seq <= ${rows}) as left`
  return row?.left === true
}

const alone: number[] = []
const beside: number[] = []
for (let i = 0; i < 4; i++) alone.push(await publish())

const remover = createDatabase(database.url, {
  max: 1,
  name: 'bench',
  direct: true,
  deadlineMs: 30_000,
})
const [backend] = await remover.run(sql => sql<{ pid: number }[]>`select pg_backend_pid() as pid`)
const retention = createRetention({
  database: remover,
  keepMs: 7 * 86_400_000,
  everyMs: 100,
  isNeeded: () => true,
  report: { error: console.error, warn: console.error, info: console.log },
})
const begin = performance.now()
let endMs = 0
retention.start()
while (await left()) {
  beside.push(await publish())
  endMs = performance.now() - begin
}
const { cpuMs } = await usageOf([backend?.pid ?? 0])
await retention.stop()
for (let i = 0; i < 4; i++) alone.push(await publish())

const perSecond = (values: number[]) => Math.round(median(values)).toLocaleString('en')
printTable(
  [`${writers} writers`, 'commits/s', 'ratio'],
  [
    ['alone', perSecond(alone), '1.00'],
    ['beside retention', perSecond(beside), (median(beside) / median(alone)).toFixed(2)],
  ],
)
console.log(
  `${rows.toLocaleString('en')} deliveries removed within ${(endMs / 1000).toFixed(0)} s, ` +
    `${((cpuMs * 1000) / rows).toFixed(1)} µs of the backend for each`,
)
await remover.stop()
await sql.end()
