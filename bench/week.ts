/**
 * Do the tables stay as large as they are? Steady traffic with a RETENTION of a week, at a compressed clock: a week is
 * WEEK_SECONDS (60) long, and NOTIFICATIONS (200,000) are published in each. After each of WEEKS (5) it prints the sizes,
 * what autovacuum has done, and which statements scanned a table: from the second week on nothing should grow.
 */
import { connect } from '../src/postgres/connect.ts'
import { openReaders } from './support/readers.ts'
import { benchService, ownDatabase, tokens } from './support/server.ts'
import { printTable } from './support/table.ts'

const weekSeconds = Number(process.env.WEEK_SECONDS ?? 60)
const weeks = Number(process.env.WEEKS ?? 5)
const aWeek = Number(process.env.NOTIFICATIONS ?? 200_000)
const streams = 100
const everyMs = 100
const atOnce = Math.ceil((aWeek * everyMs) / (weekSeconds * 1000))
// Whoever is not here comes back: half of the users are away.
const users = streams * 2

await using database = await ownDatabase({
  autovacuum_naptime: '1s',
  shared_buffers: '256MB',
})
await using service = await benchService(database.url, { RETENTION: `${weekSeconds}s` })
await using readers = await openReaders([])
await readers.open(service.url, '/notifications/stream', await tokens(streams))
const sql = connect(database.url, { max: 1, name: 'bench', direct: true })

const publish = () => sql`
  insert into kairan.notifications (channels, payload, type, expires_at)
  select array['user-' || (random() * ${users}::int)::int], jsonb_build_object('text', repeat('x', 185)), 'order.shipped',
    case when n % 50 = 0 then now() + interval '2 seconds' end
  from generate_series(1, ${atOnce}::int) n`

const tables = ['notifications', 'numbered', 'batches']
const sizes = async (week: number) => {
  const rows = await sql<Record<'name' | 'table' | 'indexes' | 'rows' | 'dead', string>[]>`
    select c.relname as name, round(pg_table_size(c.oid) / 1048576.0, 1) as table,
      round(pg_indexes_size(c.oid) / 1048576.0, 1) as indexes, s.n_live_tup as rows, s.n_dead_tup as dead
    from pg_class c join pg_stat_user_tables s on s.relid = c.oid
    where c.relnamespace = 'kairan'::regnamespace
      and c.relname in (select jsonb_array_elements_text(${sql.json(tables)}))
    order by pg_total_relation_size(c.oid) desc`
  return rows.map(row => [
    `week ${week}: ${row.name}`,
    ...[row.table, row.indexes, row.rows, row.dead].map(String),
  ])
}

const found: string[][] = []
for (let week = 1; week <= weeks; week++) {
  const begin = performance.now()
  for (let n = 0; n * everyMs < weekSeconds * 1000; n++) {
    await Bun.sleep(Math.max(0, begin + n * everyMs - performance.now()))
    await publish()
  }
  found.push(...(await sizes(week)))
  const tookMs = performance.now() - begin
  if (tookMs > weekSeconds * 1100) {
    console.log(`Week ${week} took ${(tookMs / 1000).toFixed(0)} s: the machine is too busy.`)
  }
}

console.log(`${aWeek.toLocaleString('en')} notifications in a week of ${weekSeconds} s`)
printTable(['', 'table MiB', 'indexes MiB', 'rows', 'dead rows'], found)
const scans = await sql<Record<'name' | 'scans' | 'vacuums' | 'analyzes', string>[]>`
  select relname as name, seq_scan as scans, autovacuum_count as vacuums, autoanalyze_count as analyzes
  from pg_stat_user_tables
  where schemaname = 'kairan' and relname in ('notifications', 'numbered', 'batches') order by 1`
printTable(
  ['', 'scans of the table', 'autovacuums', 'autoanalyzes'],
  scans.map(row => [row.name, ...[row.scans, row.vacuums, row.analyzes].map(String)]),
)
await sql.end()
