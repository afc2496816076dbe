import postgres from 'postgres'
import { cluster as startCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { nats } from '../support/nats.ts'
import { isReady } from '../support/process.ts'
import { faults, natsFaults, type World } from './faults.ts'
import { startInstance } from './instance.ts'
import { type Liar, startLiar, startNotifyLiar } from './liar.ts'
import { createPublisher } from './publisher.ts'
import { createRandom } from './random.ts'
import { createReader, type Reader } from './reader.ts'

export type Outcome = {
  published: number
  rolledBack: number
  delivered: number
  missed: number
  duplicated: number
  outOfOrder: number
  /** Seen, but not in the table: rolled back, or never published. */
  ghosts: number
  /** Where a stream said that something is missing. Nothing is removed in a run, so none should. */
  gaps: number
  connects: number
  faults: Record<string, number>
  /** How often somebody who can send on the relay told each lie. */
  lies: Record<string, number>
}

const users = 12
const readersPerUser = 3

/**
 * Publishes, reads and breaks things for a while, then mends everything, waits until every reader has all
 * that the table says, and compares. The table is the oracle.
 */
export const chaos = async (options: {
  seconds: number
  seed: number
  /** The folder with the service's source. */
  source: string
  report(line: string): void
  /** How long a reader may need to get the rest, once everything is mended. */
  settleMs?: number
  /** What carries batches; `nats` is restarted, frozen and lied on. Postgres by default. */
  relay?: 'postgres' | 'nats'
}): Promise<Outcome> => {
  const random = createRandom(options.seed)
  await using cluster = await startCluster()
  const migrating = Bun.spawn([process.execPath, `${options.source}/main.ts`, 'migrate'], {
    env: { DATABASE_URL: cluster.url },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if ((await migrating.exited) !== 0) throw new Error('The schema could not be made')
  await using stack = new AsyncDisposableStack()
  const server = options.relay === 'nats' ? stack.use(await nats()) : null
  const env: Record<string, string> = server ? { RELAY_URL: server.url } : {}
  const instances = [
    stack.use(await startInstance(options.source, cluster.url, env)),
    stack.use(await startInstance(options.source, cluster.url, env)),
    stack.use(await startInstance(options.source, cluster.url, { ...env, QUEUE_BYTES: '100000' })),
    stack.use(await startInstance(options.source, cluster.url, env)),
  ]
  await eventually(() => Promise.all(instances.map(({ url }) => isReady(url))).then(all))

  const urls = instances.map(({ url }) => url)
  const start = `${await epochOf(cluster.url)}-0`
  const names = Array.from({ length: users }, (_, index) => String(index + 1))
  const seeded = () => createRandom(random.integer(0, 2 ** 31))
  const readers = names.flatMap(user =>
    Array.from({ length: readersPerUser }, () => createReader(user, urls, start, seeded())),
  )
  const publishers = Array.from({ length: 6 }, () =>
    createPublisher(
      cluster.url,
      names.map(user => `user-${user}`),
      seeded(),
    ),
  )
  const reading = readers.map(reader => reader.run())
  const publishing = publishers.map(publisher => publisher.run())

  const liar: Liar = stack.use(
    server ? startLiar(server.url, seeded()) : startNotifyLiar(cluster.url, seeded()),
  )
  const committed = () => publishers.reduce((sum, { counts }) => sum + counts.committed, 0)
  const done = await breakThings({ cluster, instances, random, nats: server }, options, committed)
  for (const publisher of publishers) publisher.stop()
  await Promise.all(publishing)
  for (const reader of readers) reader.rest()

  const rows = await waitForAll(cluster.url, readers, options.settleMs ?? 60_000)
  for (const reader of readers) reader.stop()
  await Promise.all(reading)
  return {
    published: rows.length,
    rolledBack: publishers.reduce((sum, { counts }) => sum + counts.rolledBack, 0),
    delivered: readers.reduce((sum, { seen }) => sum + seen.length, 0),
    connects: readers.reduce((sum, { connects }) => sum + connects, 0),
    faults: done,
    lies: liar.told,
    ...compare(rows, readers),
  }
}

/**
 * Picks one fault after the other until the time is over, four kinds have been, and enough was committed that could have
 * been lost. Returns how many there were of each.
 */
const breakThings = async (
  world: World,
  { seconds, report }: { seconds: number; report(line: string): void },
  committed: () => number,
) => {
  const done: Record<string, number> = {}
  const known = world.nats ? { ...faults, ...natsFaults } : faults
  const start = Date.now()
  const isEnough = () => Object.keys(done).length > 3 && committed() > seconds * 40
  while (Date.now() < start + seconds * 1000 || !isEnough()) {
    await Bun.sleep(world.random.between(200, 1500))
    const name = world.random.pick(Object.keys(known))
    report(`${((Date.now() - start) / 1000).toFixed(1)} s: ${name}`)
    try {
      await known[name]?.(world)
      done[name] = (done[name] ?? 0) + 1
    } catch (error) {
      report(`  not possible now: ${error instanceof Error ? error.message : error}`)
    }
  }
  return done
}

type Row = { seq: number; id: string; channel: string }

/** Waits until everything is numbered and every reader is at the end of what is for it; not for ever. */
const waitForAll = async (url: string, readers: Reader[], settleMs: number): Promise<Row[]> => {
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  const read = () => sql<Row[]>`
    select seq::float8 as seq, notification_id as id, channel from kairan.deliveries order by seq nulls last`
  try {
    await eventually(async () => (await read()).every(({ seq }) => seq !== null), 60_000)
    const rows = await read()
    // Worked out once: asked again and again, it would take a core from the services.
    const goals = readers.map(reader => ({ reader, last: rowsFor(rows, reader).at(-1)?.seq ?? 0 }))
    const isDone = ({ reader, last }: (typeof goals)[number]) =>
      (reader.seen.at(-1)?.seq ?? 0) >= last
    await eventually(() => goals.every(isDone), settleMs).catch(() => undefined)
    return [...rows]
  } finally {
    await sql.end({ timeout: 1 })
  }
}

const rowsFor = (rows: Row[], { user }: Reader) =>
  rows.filter(({ channel }) => channel === `user-${user}` || channel === 'all-users')

const compare = (rows: Row[], readers: Reader[]) => {
  const known = new Map(rows.map(({ seq, id }) => [seq, id]))
  const result = { missed: 0, duplicated: 0, outOfOrder: 0, ghosts: 0, gaps: 0 }
  for (const reader of readers) {
    const seqs = new Set(reader.seen.map(({ seq }) => seq))
    result.missed += rowsFor(rows, reader).filter(({ seq }) => !seqs.has(seq)).length
    result.duplicated += reader.seen.length - seqs.size
    result.outOfOrder += reader.seen.filter(
      ({ seq }, index) => seq < (reader.seen[index - 1]?.seq ?? 0),
    ).length
    result.ghosts += reader.seen.filter(({ seq, id }) => known.get(seq) !== id).length
    result.gaps += reader.gaps.length
  }
  return result
}

const epochOf = async (url: string) => {
  const sql = postgres(url, { max: 1 })
  const [log] = await sql`select epoch from kairan.log`
  await sql.end()
  return log?.epoch
}

const all = (values: boolean[]) => values.every(Boolean)
