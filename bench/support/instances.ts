import postgres from 'postgres'
import { nats, type TestNats } from '../../test/support/nats.ts'
import { blocksOf } from './blocks.ts'
import { bytesBetween, cpuOf, cpuOfPostgres, postmasterOf } from './cpu.ts'
import { benchService, ownDatabase, tokenFor } from './server.ts'
import { quantile } from './table.ts'

export type RelayName = 'postgres' | 'nats'

/** What one combination cost, for each event where nothing else is said. Times are in milliseconds. */
export type Figures = {
  instances: number
  perSecond: number
  /** How many a second there really were. */
  reached: number
  postgresMs: number
  instancesMs: number
  natsMs: number
  /** Between the instances, and Postgres and NATS. */
  bytes: number
  /** What a publisher waits for its statement. */
  wait: number
  wait99: number
  /** From commit to a client of the instance that numbers, and to one of another instance. */
  near: number
  near99: number
  far: number
  far99: number
}

const parts = { postgresMs: 0, instancesMs: 0, natsMs: 0, bytes: 0 }

/** Postgres, this many instances in processes of their own, and a publisher. It is stopped at the end of the scope. */
export const startInstances = async (count: number, relay: RelayName) => {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await ownDatabase())
  const server: TestNats | null = relay === 'nats' ? stack.use(await nats()) : null
  const env = server ? { RELAY_URL: server.url } : {}
  const instances = [stack.use(await benchService(database.url, env))]
  // The first one makes the tables; the others come together.
  const others = Array.from({ length: count - 1 }, () => benchService(database.url, env))
  for (const instance of await Promise.all(others)) instances.push(stack.use(instance))
  const sql = postgres(database.url, { max: 8, onnotice: () => undefined })
  stack.defer(() => sql.end({ timeout: 1 }))
  const [backend] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
  const postmaster = await postmasterOf(backend?.pid ?? 0)
  const pids = instances.map(({ pid }) => pid)
  const ports = [database.url, ...(server ? [server.url] : [])].map(url =>
    Number(new URL(url).port),
  )

  const owned = stack.move()
  return {
    sql,
    urls: instances.map(({ url }) => url),
    /** What has been used until now. */
    used: async (): Promise<typeof parts> => ({
      postgresMs: await cpuOfPostgres(postmaster),
      instancesMs: await cpuOf(pids),
      natsMs: server ? await cpuOf([server.pid]) : 0,
      bytes: await bytesBetween(pids, ports),
    }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

export type Running = Awaited<ReturnType<typeof startInstances>>

/** What was used since then, by `share`. */
export const spent = async (running: Running, before: typeof parts, share: number) => {
  const after = await running.used()
  return {
    postgresMs: (after.postgresMs - before.postgresMs) / share,
    instancesMs: (after.instancesMs - before.instancesMs) / share,
    natsMs: (after.natsMs - before.natsMs) / share,
    bytes: (after.bytes - before.bytes) / share,
  }
}

/** The instance that numbers; the first one where none says that it does. */
export const leaderOf = async ({ urls }: Running) => {
  const leads = await Promise.all(
    urls.map(async url =>
      /^kairan_leading(?:\{[^}]*\})? 1$/m.test(await (await fetch(`${url}/metrics`)).text()),
    ),
  )
  return Math.max(0, leads.indexOf(true))
}

/**
 * Publishes at this rate for some seconds: half of the events to a user on the instance that numbers, half to one on
 * another. So each event has one reader, however many instances there are.
 */
export const publishPaced = async (
  running: Running,
  perSecond: number,
  seconds: number,
): Promise<Omit<Figures, 'instances' | 'perSecond'>> => {
  const { sql, urls } = running
  const leader = await leaderOf(running)
  const committed = new Map<number, number>()
  const late: [near: number[], far: number[]] = [[], []]
  let arrived = 0
  const onNumber = (into: number[]) => (number: number) => {
    arrived++
    const from = committed.get(number)
    if (from !== undefined) into.push(performance.now() - from)
  }
  await using near = await openStream(urls[leader], 'near', onNumber(late[0]))
  await using far = await openStream(urls[(leader + 1) % urls.length], 'far', onNumber(late[1]))

  const waits: number[] = []
  const publish = async (number: number, isTimed: boolean) => {
    const channel = number % 2 === 0 ? near.channel : far.channel
    if (isTimed) {
      // The moment of the commit is known only of a transaction that is ended by a statement of its own.
      await sql.begin(async tx => {
        await tx`select kairan.publish(${channel}, ${tx.json({ number, text })})`
        committed.set(number, performance.now())
      })
    } else {
      const begin = performance.now()
      await sql`select kairan.publish(${channel}, ${sql.json({ number, text })})`
      waits.push(performance.now() - begin)
    }
  }
  const pace = async (count: number, first: number) => {
    const start = performance.now()
    const all: Promise<void>[] = []
    for (let n = 0; n < count; n++) {
      await Bun.sleep(Math.max(0, start + (n * 1000) / perSecond - performance.now()))
      all.push(publish(first + n, n % 8 < 2))
    }
    await Promise.all(all)
    return (count * 1000) / (performance.now() - start)
  }
  const settle = async (count: number) => {
    const end = performance.now() + 30_000
    while (arrived < count && performance.now() < end) await Bun.sleep(20)
    if (arrived < count) throw new Error(`${count - arrived} events did not arrive within 30 s`)
  }

  const warming = perSecond * 2
  await pace(warming, 0)
  await settle(warming)
  waits.length = 0
  for (const values of late) values.length = 0
  const before = await running.used()
  const count = perSecond * seconds
  const reached = await pace(count, warming)
  await settle(warming + count)
  const [nearMs, farMs] = late
  return {
    reached,
    ...(await spent(running, before, count)),
    wait: quantile(waits, 0.5),
    wait99: quantile(waits, 0.99),
    near: quantile(nearMs, 0.5),
    near99: quantile(nearMs, 0.99),
    far: quantile(farMs, 0.5),
    far99: quantile(farMs, 0.99),
  }
}

const text = 'x'.repeat(200)

/** A stream of a user who has never been here, and the numbers in its events. */
const openStream = async (
  url: string | undefined,
  name: string,
  onNumber: (number: number) => void,
) => {
  const userId = `${name}-${crypto.randomUUID()}`
  const abort = new AbortController()
  const response = await fetch(`${url}/notifications/stream`, {
    signal: abort.signal,
    headers: { authorization: `Bearer ${await tokenFor(userId)}` },
  })
  const ready = Promise.withResolvers<void>()
  const read = async () => {
    for await (const block of blocksOf(response)) {
      if (block.includes('"type":"ready"')) ready.resolve()
      const number = /"number": (\d+)/.exec(block)?.[1]
      if (number !== undefined) onNumber(Number(number))
    }
  }
  read().catch(() => undefined) // Aborted at the end.
  await ready.promise
  return {
    channel: `user-${userId}`,
    async [Symbol.asyncDispose]() {
      abort.abort()
    },
  }
}
