/**
 * What does it cost Postgres to bring a step of the log to the other instances by NOTIFY? Either sealed with its
 * events, or as the head alone, upon which each reads the table. The CPU time of Postgres for a step of one event of
 * 200 bytes and of ten, besides publishing and numbering, which are the same.
 */

import { advance, follow } from '../src/log/log-store.ts'
import type { Sql } from '../src/postgres/connect.ts'
import { connect } from '../src/postgres/connect.ts'
import { createDatabase } from '../src/postgres/database.ts'
import { migrate } from '../src/postgres/migrate.ts'
import { encode } from '../src/relay/message.ts'
import { createPostgresRelay, relayChannel } from '../src/relay/postgres-relay.ts'
import { createSeal } from '../src/relay/seal.ts'
import { eventually } from '../test/support/eventually.ts'
import { cpuOfPostgres, postmasterOf } from './support/cpu.ts'
import { ownDatabase } from './support/server.ts'
import { printTable } from './support/table.ts'

const steps = Number(process.env.BENCH_STEPS ?? 300)
const known = { seen: null, batch: null, awakeMs: 0, owner: 0 }

await using server = await ownDatabase()
await migrate(server.url)
const sql = connect(server.url, { max: 1, name: 'bench', direct: true })
const database = createDatabase(server.url, { max: 1, name: 'bench relay', deadlineMs: 10_000 })
const relay = createPostgresRelay(database, { isUp: () => true })
const seal = createSeal()
seal.use(crypto.getRandomValues(new Uint8Array(32)))
const [backend] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
const postmaster = await postmasterOf(backend?.pid ?? 0)

type Way = 'sealed' | 'head alone'

/** Other instances: each has a session that listens, and one that reads. */
const startOthers = async (count: number, way: Way) => {
  let heard = 0
  const others = Array.from({ length: count }, () => {
    const reader = connect(server.url, { max: 1, name: 'bench reader', direct: true })
    let after: number | null = null
    const onNotify = () => void read().then(() => heard++)
    const read = async () => {
      if (way === 'head alone' || after === null)
        after = (await follow(reader, { ...known, after })).end
    }
    const listener = connect(server.url, { max: 1, name: 'bench listener', direct: true, onNotify })
    return { reader, listener, read }
  })
  for (const { listener, read } of others) {
    await read()
    await listener.unsafe(`listen ${relayChannel}`)
  }
  return {
    heard: () => heard,
    stop: () =>
      Promise.all(others.flatMap(({ reader, listener }) => [reader.end(), listener.end()])),
  }
}

const publish = (on: Sql, events: number) => on`
  select kairan.publish('user-1', jsonb_build_object('text', repeat('x', 185)))
  from generate_series(1, ${events}::int)`

/** The CPU of Postgres for a step, in milliseconds. */
const measure = async (count: number, events: number, way: Way | null) => {
  const others = way ? await startOthers(count, way) : null
  let after = (await advance(sql, { ...known, after: null })).end
  const before = await cpuOfPostgres(postmaster)
  for (let step = 1; step <= steps; step++) {
    await publish(sql, events)
    const found = await advance(sql, { ...known, after })
    const head = { server: 'bench', epoch: found.epoch, head: found.end }
    const told = { since: '1:1:', now: '1:1:', told: [] }
    const whole = {
      server: 'bench',
      epoch: found.epoch,
      prev: after,
      to: found.end,
      events: found.events,
      told,
    }
    after = found.end
    if (!way || !others) continue
    for (const bytes of encode(way === 'sealed' ? whole : head, relay.maxBytes - 41, 4)) {
      const sealed = seal.close(bytes)
      if (sealed) await relay.send(sealed)
    }
    await eventually(() => others.heard() >= step * count)
  }
  const ms = ((await cpuOfPostgres(postmaster)) - before) / steps
  await others?.stop()
  return ms
}

const rows: string[][] = []
for (const events of [1, 10]) {
  const alone = await measure(0, events, null)
  for (const count of [1, 3, 7, 15]) {
    const cost = async (way: Way) => (await measure(count, events, way)) - alone
    const [sealed, head] = [await cost('sealed'), await cost('head alone')]
    rows.push([`${events} events, ${count} others`, ...[sealed, head].map(ms => ms.toFixed(2))])
  }
}
printTable(['', 'sealed', 'head alone'], rows)
await Promise.all([sql.end(), database.stop()])
