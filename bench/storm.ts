/**
 * 10,000 streams are cut at once, as by a failing network. Meanwhile 100 events for all of them are published. Then all
 * clients reconnect at once with their cursors. How long does it take until each has its 100 events, and how many
 * statements does the database run?
 */

import type { Sql } from '../src/postgres/connect.ts'
import { eventually } from '../test/support/eventually.ts'
import { nchan } from './peers/nchan.ts'
import { kairan } from './support/kairan.ts'
import type { Peer } from './support/peer.ts'
import { mark, openReaders } from './support/readers.ts'
import { tokens } from './support/server.ts'
import { fewRuns, median, printTable } from './support/table.ts'

const streams = Number(process.env.STREAMS ?? 10_000)
const events = 100
const text = mark + 'x'.repeat(200 - '{"text":""}'.length - 1)
const identities = await tokens(streams)

const storm = async (start: () => Promise<(Peer & { sql?: Sql }) | null>) => {
  await using peer = await start()
  if (!peer) return null
  const all: { ms: number; statements: Statement[] }[] = []
  for (let run = 0; run < fewRuns; run++) all.push(await once(peer))
  return {
    name: peer.name,
    ms: median(all.map(({ ms }) => ms)),
    statements: peer.sql ? median(all.map(({ statements }) => total(statements))) : null,
    last: all.at(-1)?.statements ?? [],
  }
}

const once = async ({ name, url, path, publish, sql }: Peer & { sql?: Sql }) => {
  await using readers = await openReaders()
  await readers.open(url, path, identities, { keep: true })
  // nchan sends a cursor with events only.
  await publish(1, text)
  await readers.events(streams)
  const cursors = (await readers.streams()).map(({ cursor }) => cursor)
  if (cursors.some(cursor => cursor === '')) throw new Error(`${name} gave no cursor`)

  await readers.close()
  await eventually(async () => (await readers.count()).open === 0)
  await publish(events, text)
  if (sql) {
    await eventually(async () => (await notNumbered(sql)) === 0)
    await sql`select pg_stat_statements_reset()`
  }

  const begin = performance.timeOrigin + performance.now()
  const headers = cursors.map(cursor => ({ 'last-event-id': cursor }))
  await readers.open(url, path, identities, { headers, atOnce: streams, keep: true })
  const { lastAtMs } = await readers.events(streams * (events + 1))
  // Waits for the statuses, and for events that would be delivered twice.
  await Bun.sleep(500)
  const wrong = (await readers.streams()).filter(stream => stream.events !== events)
  if (wrong.length > 0) {
    throw new Error(`${name}: ${wrong.length} streams got ${wrong[0]?.events}, not ${events}`)
  }
  return { ms: lastAtMs - begin, statements: sql ? await statementsOf(sql) : [] }
}

const notNumbered = async (sql: Sql) => (await sql`select from kairan.unnumbered()`).length

type Statement = { calls: number; query: string }

const statementsOf = (sql: Sql) => sql<Statement[]>`
  select calls::int, regexp_replace(query, '\\s+', ' ', 'g') as query
  from pg_stat_statements where query not like '%pg_stat_statements%' order by calls desc`

const total = (statements: Statement[]) => statements.reduce((sum, { calls }) => sum + calls, 0)

/** Enables pg_stat_statements, if the database was started by the benchmark. */
const counted = async () => {
  const peer = await kairan({ settings: { shared_preload_libraries: 'pg_stat_statements' } })
  await peer.sql`create extension if not exists pg_stat_statements`
  return peer
}

const found = [await storm(counted), await storm(nchan)].filter(result => result !== null)

console.log(`${streams.toLocaleString('en')} streams come back, each for ${events} events`)
const [own] = found
printTable(
  ['', 'ms until all have all', 'Kairan is', 'statements'],
  found.map(({ name, ms, statements }) => [
    name,
    ms.toFixed(0),
    `${((own?.ms ?? 0) / ms).toFixed(2)} ×`,
    statements === null ? '-' : `${statements}`,
  ]),
)
console.log('\nThe statements of the last run')
printTable(
  ['', 'calls'],
  own?.last.map(({ query, calls }) => [query.slice(0, 80), `${calls}`]) ?? [],
)
