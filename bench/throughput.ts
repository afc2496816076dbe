/**
 * How many events a second get from the writers to the clients, on all cores? 1,000 users have a stream each. 16
 * writers insert row after row for random users; then one statement inserts 100,000 rows for all users. The peer is a
 * trigger that calls pg_notify for each row, and a service that LISTENs. It cannot address users, so it has one stream:
 * it writes each event once too, but stores no events and no statuses.
 */
import { connect } from '../src/postgres/connect.ts'
import { allDelivered } from './support/delivered.ts'
import { bareListen } from './support/peer.ts'
import { findPgbench } from './support/pgbench.ts'
import { mark, openReaders } from './support/readers.ts'
import { benchDatabase, benchService, tokens } from './support/server.ts'
import { fewRuns, median, printTable } from './support/table.ts'

const streams = 1000
const writers = 16
const seconds = 5
const rows = 100_000
// 200 bytes as Postgres prints it.
const payload = `{"text": "${mark}${'x'.repeat(200 - '{"text": "~"}'.length)}"}`

const pgbench = await findPgbench()
if (!pgbench) process.exit(0)

await using database = await benchDatabase()
await using service = await benchService(database.url)
await using peer = await bareListen(database.url)
const sql = connect(database.url, { max: 1, name: 'bench', direct: true })
await sql.unsafe(`
  drop schema if exists bench cascade;
  create schema bench;
  create table bench.notifications (like kairan.notifications including all);
  create function bench.ring() returns trigger language plpgsql as $$
    begin
      -- The id in it: of equal ones, a transaction sends only one.
      perform pg_notify('bench', json_build_object('id', new.id, 'payload', new.payload)::text);
      return null;
    end $$;
  create trigger ring after insert on bench.notifications for each row execute function bench.ring();
`)

await using readers = await openReaders([])
await readers.open(service.url, '/notifications/stream', await tokens(streams))
const { open } = await readers.open(peer.url, peer.path, [null])
if (open !== streams + 1) throw new Error(`${open} of ${streams + 1} streams are open`)

const sides = [
  { name: 'Kairan', table: 'kairan.notifications', marked: () => allDelivered(sql) },
  { name: peer.name, table: 'bench.notifications', marked: null },
].map(side => ({ ...side, single: findings(), bulk: findings() }))

/** For each run: how many a second were committed, arrived, and got their status. */
function findings(): Record<'committed' | 'arrived' | 'marked', number[]> {
  return { committed: [], arrived: [], marked: [] }
}

type Side = (typeof sides)[number]

/** Lets a side write, and waits until all events have arrived and are marked. */
const measure = async (
  { marked }: Side,
  into: ReturnType<typeof findings>,
  write: () => Promise<number>,
) => {
  const { events } = await readers.count()
  const begin = performance.timeOrigin + performance.now()
  const count = await write()
  const rateAt = (ms: number) => (count * 1000) / (ms - begin)
  const rateNow = () => rateAt(performance.timeOrigin + performance.now())
  into.committed.push(rateNow())
  into.arrived.push(rateAt((await readers.events(events + count)).lastAtMs))
  if (!marked) return
  await marked()
  into.marked.push(rateNow())
}

const single = async ({ table }: Side) => {
  const script = `
    \\set user random(0, ${streams - 1})
    insert into ${table} (channels, payload, bytes) values (array['user-' || :user], '${payload}', 200);`
  const { commits } = await pgbench(script, { url: database.url, writers, seconds })
  return commits
}

const bulk = async ({ table }: Side) => {
  await sql.unsafe(`
    insert into ${table} (channels, payload, bytes)
    select array['user-' || n % ${streams}], '${payload}', 200 from generate_series(1, ${rows}) n`)
  return rows
}

for (let run = 0; run < fewRuns; run++) {
  for (const side of sides) await measure(side, side.single, () => single(side))
  for (const side of sides) await measure(side, side.bulk, () => bulk(side))
}

const print = (of: (side: Side) => ReturnType<typeof findings>) => {
  const [own = Number.NaN] = sides.map(side => median(of(side).arrived))
  const whole = (rates: number[]) =>
    rates.length > 0 ? Math.round(median(rates)).toLocaleString('en') : '-'
  printTable(
    ['Events a second', 'committed', 'arrived', 'Kairan is', 'status written'],
    sides.map(side => {
      const { committed, arrived, marked } = of(side)
      const ratio = `${(own / median(arrived)).toFixed(2)} ×`
      return [side.name, whole(committed), whole(arrived), ratio, whole(marked)]
    }),
  )
}
console.log(`${writers} writers for ${seconds} s, one row each time, ${streams} users`)
print(({ single }) => single)
console.log(`\n${rows.toLocaleString('en')} rows in one statement, ${streams} users`)
print(({ bulk }) => bulk)
await sql.end()
