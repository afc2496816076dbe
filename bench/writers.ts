/**
 * What does publishing cost the writers? It measures the commits a second of 8 and of 32 writers, with one
 * notification each, while Kairan delivers them. The peers are the same insert into a table without triggers, and into a
 * table whose trigger calls pg_notify. No session listens to the latter, so it shows the cost of the NOTIFY alone.
 * Beside it the CPU time for each commit, of Postgres and the service until everything is delivered and marked: where the
 * CPU is what limits, its ratio is that of the commits, and other programs on the machine change it less.
 */
import { connect } from '../src/postgres/connect.ts'
import { cpuOf, cpuOfPostgres, postmasterOf } from './support/cpu.ts'
import { allDelivered } from './support/delivered.ts'
import { findPgbench } from './support/pgbench.ts'
import { mark, openReaders } from './support/readers.ts'
import { benchDatabase, benchService, tokens } from './support/server.ts'
import { median, printTable, runs } from './support/table.ts'

const streams = 100
const seconds = Number(process.env.BENCH_SECONDS ?? 3)
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

const [backend] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
const postmaster = await postmasterOf(backend?.pid ?? 0)
const cpuMs = async () => (await cpuOfPostgres(postmaster)) + (await cpuOf([service.pid]))

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
  tables.map(table => ({ ...table, writers, perSecond: [] as number[], cpu: [] as number[] })),
)

let published = 0
for (let run = 0; run < runs; run++) {
  for (const { name, script, writers, perSecond, cpu } of rounds) {
    const begin = await cpuMs()
    const found = await pgbench(script, { url: database.url, writers, seconds })
    perSecond.push(found.perSecond)
    if (name === 'Kairan') {
      // Unfinished work must not slow the next measurement down.
      published += found.commits
      await readers.events(published)
      await allDelivered(sql)
    }
    cpu.push((((await cpuMs()) - begin) * 1000) / found.commits)
  }
}

console.log(`Commits a second, one row each, ${streams} streams open`)
printTable(
  ['', 'commits/s', 'of no trigger', 'CPU µs a commit', 'of no trigger'],
  rounds.map(({ name, writers, perSecond, cpu }) => {
    const plain = rounds.find(round => round.writers === writers)
    const ratio = median(perSecond) / median(plain?.perSecond ?? [])
    const cpuRatio = median(plain?.cpu ?? []) / median(cpu)
    return [
      `${writers} writers, ${name}`,
      Math.round(median(perSecond)).toLocaleString('en'),
      `${ratio.toFixed(2)} ×`,
      median(cpu).toFixed(0),
      `${cpuRatio.toFixed(2)} ×`,
    ]
  }),
)
await sql.end()
