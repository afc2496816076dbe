/**
 * What does publishing cost the writers? It measures the commits a second of 8 and of 32 writers, with one
 * notification each, while Kairan delivers them. The peers are the same insert into a table without triggers, and into a
 * table whose trigger calls pg_notify. No session listens to the latter, so it shows the cost of the NOTIFY alone.
 */
import { connect } from '../src/postgres/connect.ts'
import { allDelivered } from './support/delivered.ts'
import { findPgbench } from './support/pgbench.ts'
import { mark, openReaders } from './support/readers.ts'
import { benchDatabase, benchService, tokens } from './support/server.ts'
import { median, printTable, runs } from './support/table.ts'

const streams = 100
const seconds = 3
// 200 bytes as Postgres prints it.
const payload = `{"text": "${mark}${'x'.repeat(200 - '{"text": "~"}'.length)}"}`

const pgbench = await findPgbench()
if (!pgbench) process.exit(0)

await using database = await benchDatabase()
await using service = await benchService(database.url)
await using readers = await openReaders([])
await readers.open(service.url, '/notifications/stream', await tokens(streams))
const sql = connect(database.url, { max: 1, name: 'bench', direct: true })
await sql.unsafe(`
  drop schema if exists bench cascade;
  create schema bench;
  create table bench.plain (like kairan.notifications including all);
  create table bench.ringing (like kairan.notifications including all);
  create function bench.ring() returns trigger language plpgsql as $$
    begin perform pg_notify('bench', new.id::text); return null; end $$;
  create trigger ring after insert on bench.ringing for each row execute function bench.ring();
`)

/** Without its trigger, the number of bytes of the payload has to be inserted. */
const insert = (table: string, bytes?: number) => `
  \\set user random(0, ${streams - 1})
  insert into ${table} (channels, payload, type${bytes ? ', bytes' : ''})
  values (array['user-' || :user], '${payload}', 'order.shipped'${bytes ? `, ${bytes}` : ''});`

const tables = [
  { name: 'no trigger', script: insert('bench.plain', 200) },
  { name: 'Kairan', script: insert('kairan.notifications') },
  { name: 'NOTIFY in a trigger', script: insert('bench.ringing', 200) },
]
const rounds = [8, 32].flatMap(writers =>
  tables.map(table => ({ ...table, writers, perSecond: [] as number[] })),
)

let published = 0
for (let run = 0; run < runs; run++) {
  for (const { name, script, writers, perSecond } of rounds) {
    const found = await pgbench(script, { url: database.url, writers, seconds })
    perSecond.push(found.perSecond)
    if (name !== 'Kairan') continue
    // Unfinished work must not slow the next measurement down.
    published += found.commits
    await readers.events(published)
    await allDelivered(sql)
  }
}

console.log(`Commits a second, one row each, ${streams} streams open`)
printTable(
  ['', 'commits/s', 'of no trigger'],
  rounds.map(({ name, writers, perSecond }) => {
    const plain = rounds.find(round => round.writers === writers)?.perSecond ?? []
    const ratio = median(perSecond) / median(plain)
    return [
      `${writers} writers, ${name}`,
      Math.round(median(perSecond)).toLocaleString('en'),
      `${ratio.toFixed(2)} ×`,
    ]
  }),
)
await sql.end()
