/**
 * What does Postgres write for a notification? One transaction for each notification, then one transaction for all:
 * until a stream has taken them and their statuses are written. Counts the records of the WAL by their kind, so it
 * shows the rows and the index entries; full-page images are counted apart, because they depend on the last checkpoint.
 */
import postgres from 'postgres'
import { eventually } from '../test/support/eventually.ts'
import { mark, openReaders } from './support/readers.ts'
import { benchService, ownDatabase, tokens } from './support/server.ts'
import { printTable } from './support/table.ts'

const streams = 100
const single = Number(process.env.BENCH_SINGLE ?? 3000)
const bulk = Number(process.env.BENCH_BULK ?? 50_000)
const payload = `{"text": "${mark}${'x'.repeat(200 - '{"text": "~"}'.length)}"}`

await using database = await ownDatabase()
await using service = await benchService(database.url)
const sql = postgres(database.url, { max: 1, onnotice: () => undefined })
await sql`create extension pg_walinspect`
await using readers = await openReaders([])
await readers.open(service.url, '/notifications/stream', await tokens(streams))

const position = async () => {
  const [row] = await sql`select pg_current_wal_insert_lsn()::text as lsn`
  return String(row?.lsn)
}

const delivered = () =>
  eventually(async () => {
    const [row] = await sql`
      select not exists (select from kairan.deliveries where status = 'pending') as done`
    return row?.done
  })

const measure = async (count: number, publish: () => Promise<unknown>) => {
  const { events } = await readers.count()
  await sql`checkpoint`
  const from = await position()
  await publish()
  await readers.events(events + count)
  await delivered()
  const to = await position()
  const rows = await sql<{ kind: string; records: number; bytes: number; images: number }[]>`
    select resource_manager || ' ' || record_type as kind, count(*)::float8 as records,
      sum(record_length - fpi_length)::float8 as bytes, sum(fpi_length)::float8 as images
    from pg_get_wal_records_info(${from}, ${to}) group by 1 order by 3 desc`
  const each = (value: number) => (value / count).toFixed(value / count < 10 ? 2 : 0)
  const sum = (of: (row: (typeof rows)[number]) => number) =>
    rows.reduce((total, row) => total + of(row), 0)
  const where = (pattern: RegExp) => rows.filter(({ kind }) => pattern.test(kind))
  const records = (pattern: RegExp) =>
    each(where(pattern).reduce((total, row) => total + row.records, 0))
  printTable(
    ['of the WAL, for each notification', 'records', 'bytes', 'page images'],
    [
      ...rows
        .filter(({ bytes }) => bytes / count >= 1)
        .map(row => [row.kind, each(row.records), each(row.bytes), each(row.images)]),
      [
        'all',
        each(sum(row => row.records)),
        each(sum(row => row.bytes)),
        each(sum(row => row.images)),
      ],
    ],
  )
  console.log(
    `Rows written: ${records(/^Heap2? (INSERT|MULTI_INSERT|UPDATE|HOT_UPDATE|DELETE)/)}, ` +
      `rows locked: ${records(/^Heap LOCK/)}, index entries: ${records(/^Btree INSERT/)}`,
  )
}

console.log(`${single.toLocaleString('en')} notifications, one transaction each`)
await measure(single, async () => {
  for (let n = 0; n < single; n++) {
    await sql`select kairan.publish(${`user-${n % streams}`}, ${payload}::text::jsonb, 'order.shipped')`
  }
})
console.log(`\n${bulk.toLocaleString('en')} notifications in one transaction`)
await measure(
  bulk,
  () => sql`
    insert into kairan.notifications (channels, payload, type)
    select array['user-' || n % ${streams}::int], ${payload}::text::jsonb, 'order.shipped'
    from generate_series(1, ${bulk}::int) n`,
)
await sql.end()
