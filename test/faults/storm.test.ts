/**
 * All instances restart at once, and all their streams return with cursors. INSTANCES=16 STREAMS=1000 is the storm of a
 * cluster (streams are those of each instance); what Postgres has to do for it is counted, and printed.
 */
import { expect, test } from 'bun:test'
import postgres from 'postgres'
import { mark, openReaders } from '../../bench/support/readers.ts'
import { cluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { isReady } from '../support/process.ts'
import { tokenFor } from '../support/service.ts'
import { startInstance } from './instance.ts'

const instances = Number(process.env.INSTANCES ?? 3)
const streams = Number(process.env.STREAMS ?? 100)
const missed = 5

type Statement = { query: string; calls: number }

test(`${instances} instances with ${streams} streams each restart at once, at a bounded cost`, async () => {
  await using server = await cluster({
    shared_preload_libraries: 'pg_stat_statements',
    max_connections: '500',
  })
  const sql = postgres(server.url, { max: 2, onnotice: () => undefined })
  await using stack = new AsyncDisposableStack()
  stack.defer(() => sql.end({ timeout: 1 }))
  const all = []
  for (let n = 0; n < instances; n++) {
    all.push(stack.use(await startInstance('src', server.url, { MAX_STREAMS_PER_USER: '2' })))
  }
  const ready = (url: string) => eventually(() => isReady(url), 120_000)
  await Promise.all(all.map(({ url }) => ready(url)))
  await sql`create extension pg_stat_statements`
  const tokens = await Promise.all(
    Array.from({ length: instances * streams }, (_, n) => tokenFor(String(n))),
  )
  const mine = (index: number) => tokens.slice(index * streams, (index + 1) * streams)
  const path = '/notifications/stream'
  const publish = () => sql`select kairan.publish('all-users', ${sql.json({ text: mark })})`

  await using before = await openReaders([])
  for (const [index, { url }] of all.entries()) {
    await before.open(url, path, mine(index), { keep: true })
  }
  await publish()
  await before.events(tokens.length, 120_000)
  const cursors = (await before.streams()).map(({ cursor }) => cursor)
  expect(cursors).not.toContain('')

  for (const instance of all) instance.signal('SIGKILL')
  await Promise.all(all.map(instance => instance.ended()))
  await before.close()
  for (let n = 0; n < missed; n++) await publish()
  await sql`select pg_stat_statements_reset()`
  const start = performance.now()
  await Promise.all(all.map(instance => instance.restart()))
  await using after = await openReaders([])
  await Promise.all(all.map(({ url }) => ready(url)))
  for (const [index, { url }] of all.entries()) {
    const own = cursors.slice(index * streams, (index + 1) * streams)
    const headers = own.map(cursor => ({ 'last-event-id': cursor }))
    await after.open(url, path, mine(index), { headers, atOnce: streams, keep: true })
  }
  await after.events(tokens.length * missed, 300_000)
  const seconds = (performance.now() - start) / 1000
  const statements = await sql<Statement[]>`
    select regexp_replace(query, '\\s+', ' ', 'g') as query, calls::int from pg_stat_statements
    where query not like '%pg_stat_statements%' order by calls desc`

  const wrong = (await after.streams()).filter(({ events }) => events !== missed)
  expect(wrong).toEqual([])
  const calls = statements.reduce((sum, statement) => sum + statement.calls, 0)
  console.log(`${calls} statements in ${seconds.toFixed(1)} s, the most frequent ones:`)
  for (const { query, calls: times } of statements.slice(0, 12)) {
    console.log(`${String(times).padStart(8)} ${query.slice(0, 100)}`)
  }
  // For each instance what its start takes, then what it does by the clock; and next to nothing for a stream.
  expect(calls).toBeLessThan(instances * 150 + seconds * instances * 20 + tokens.length * 0.2)
}, 600_000)
