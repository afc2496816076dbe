import postgres from 'postgres'
import { cluster as startCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { nats } from '../support/nats.ts'
import { isReady } from '../support/process.ts'
import { faults, natsFaults, type World } from './faults.ts'
import { startInstance } from './instance.ts'
import { type Liar, startLiar, startNotifyLiar } from './liar.ts'
import { compare, createLookout, waitForAll } from './oracle.ts'
import { createPublisher } from './publisher.ts'
import { createRandom } from './random.ts'
import { createReader } from './reader.ts'

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
  /** Whether to end as soon as a reader has missed something: of the outcome, `missed` alone is right then. */
  untilMissed?: boolean
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
  await eventually(() => Promise.all(instances.map(({ url }) => isReady(url))).then(all), 60_000)

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
  await using lookout = createLookout(cluster.url, readers)
  const isOver = options.untilMissed ? lookout.hasMissed : async () => false
  const world = { cluster, instances, random, nats: server }
  const done = await breakThings(world, options, committed, isOver)
  for (const publisher of publishers) publisher.stop()
  await Promise.all(publishing)
  for (const reader of readers) reader.rest()

  const rows = await waitForAll(cluster.url, readers, options)
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
 * Picks one fault after the other until it is over, or else the time is, four kinds have been, and enough was committed
 * that could have been lost. Returns how many there were of each.
 */
const breakThings = async (
  world: World,
  { seconds, report }: { seconds: number; report(line: string): void },
  committed: () => number,
  isOver: () => Promise<boolean>,
) => {
  const done: Record<string, number> = {}
  const known = world.nats ? { ...faults, ...natsFaults } : faults
  const start = Date.now()
  const isEnough = () => Object.keys(done).length > 3 && committed() > seconds * 40
  while (!(await isOver()) && (Date.now() < start + seconds * 1000 || !isEnough())) {
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

const epochOf = async (url: string) => {
  const sql = postgres(url, { max: 1 })
  const [log] = await sql`select epoch from kairan.log`
  await sql.end()
  return log?.epoch
}

const all = (values: boolean[]) => values.every(Boolean)
