/**
 * How long is a fault felt? From the fault to the next event that a reader gets, in milliseconds. `--relay nats` breaks
 * NATS, too; `--only leader` runs the cases whose names have that.
 */
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import { open } from '../support/client.ts'
import { cluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { metricOf } from '../support/metric.ts'
import { nats } from '../support/nats.ts'
import { isReady } from '../support/process.ts'
import { proxyTo } from '../support/proxy.ts'
import { tokenFor } from '../support/service.ts'
import { type Instance, startInstance } from './instance.ts'

const { values } = parseArgs({
  options: {
    relay: { type: 'string', default: 'postgres' },
    only: { type: 'string', default: '' },
  },
})

await using server = await cluster()
await using relay = await nats()
await using network = await proxyTo(Number(new URL(relay.url).port))
const env: Record<string, string> =
  values.relay === 'nats' ? { RELAY_URL: `nats://127.0.0.1:${network.port}` } : {}
await using one = await startInstance('src', server.url, env)
await using two = await startInstance('src', server.url, env)
const sql = postgres(server.url, { max: 2, onnotice: () => undefined, backoff: () => 0.02 })
const bothReady = () =>
  eventually(async () => (await isReady(one.url)) && (await isReady(two.url)), 60_000)
const token = await tokenFor('42')

/** Publishes until it works: Postgres may be away. */
const publish = async () => {
  for (;;) {
    try {
      return await sql`select kairan.publish('user-42', '{}')`
    } catch {
      await Bun.sleep(5)
    }
  }
}

/** The instance that numbers, and the other one, when one of them does and messages arrive at both. */
const roles = async () => {
  let leader = one
  await eventually(async () => {
    const leads = await Promise.all([one, two].map(each => metricOf(each, 'kairan_leading')))
    const up = await Promise.all([one, two].map(each => metricOf(each, 'kairan_relay_up')))
    leader = leads[0] === 1 ? one : two
    return leads.reduce((sum, value) => sum + value, 0) === 1 && up.every(value => value === 1)
  }, 60_000)
  return { leader, follower: leader === one ? two : one }
}

/** Like a browser: comes back to the other instance with its cursor when its stream is cut. */
const reader = (first: Instance) => {
  const second = first === one ? two : one
  let count = 0
  let cursor: string | undefined
  let stopped = false
  const run = async () => {
    for (let visit = 0; !stopped; visit++) {
      const { url } = visit % 2 === 0 ? first : second
      try {
        await using client = await open(url, cursor ? { token, lastEventId: cursor } : { token })
        while (!client.ended && !stopped) {
          const seen = client.events.length
          await eventually(() => client.ended || stopped || client.events.length > seen, 600_000)
          count += client.events.length - seen
          cursor = client.lastEventId
        }
      } catch {
        await Bun.sleep(50) // Nobody listens there.
      }
    }
  }
  const running = run()
  return {
    get count() {
      return count
    },
    async stop() {
      stopped = true
      await running
    },
  }
}

const backend = async (name: string) => {
  const [row] = await sql`
    select pid from pg_stat_activity where application_name = ${name} order by random() limit 1`
  return Number(row?.pid)
}

const frozen = async (name: string) => {
  const pid = await backend(name)
  process.kill(pid, 'SIGSTOP')
  return () => process.kill(pid, 'SIGCONT')
}

/** What is broken. The reader is at the instance that does not number. */
const cases: Record<string, (leader: Instance) => Promise<unknown>> = {
  'no fault': async () => undefined,
  'listener killed': async () =>
    sql`select pg_terminate_backend(${await backend('kairan listener')})`,
  'dispatcher killed': async () =>
    sql`select pg_terminate_backend(${await backend('kairan dispatcher')})`,
  'all backends killed': async () =>
    sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'kairan%'`,
  'listener frozen': () => frozen('kairan listener'),
  'dispatcher frozen': () => frozen('kairan dispatcher'),
  'Postgres restarted (fast)': async () => {
    await server.stop('fast')
    await server.start()
  },
  'Postgres crashed (immediate)': async () => {
    await server.stop('immediate')
    await server.start()
  },
  'leader killed': async leader => {
    leader.signal('SIGKILL')
    return () => leader.restart()
  },
  'leader frozen': async leader => {
    leader.signal('SIGSTOP')
    return () => leader.signal('SIGCONT')
  },
  'leader cut off from Postgres': async leader => {
    leader.proxy.cut()
    return () => leader.proxy.heal()
  },
}
const natsCases: typeof cases = {
  'NATS killed': async () => {
    await relay.kill()
    return () => relay.start()
  },
  'NATS frozen': async () => {
    relay.signal('SIGSTOP')
    return () => relay.signal('SIGCONT')
  },
  'NATS cut off': async () => {
    network.cut()
    return () => network.heal()
  },
}
const known = Object.entries({ ...cases, ...(values.relay === 'nats' ? natsCases : {}) })

const rows: Record<string, { median: number; worst: number }> = {}
for (const [name, fault] of known.filter(([name]) => name.includes(values.only))) {
  const times: number[] = []
  for (let run = 0; run < Number(process.env.RUNS ?? 5); run++) {
    await bothReady()
    const { leader, follower } = await roles()
    const client = reader(follower)
    await publish()
    await eventually(() => client.count > 0, 60_000)
    const seen = client.count
    // From the fault on; for a restart, from when the server is there again.
    let start = performance.now()
    const mend = await fault(leader)
    if (name.startsWith('Postgres')) start = performance.now()
    await publish()
    await eventually(() => client.count > seen, 60_000)
    times.push(performance.now() - start)
    if (typeof mend === 'function') await mend()
    await client.stop()
  }
  const sorted = times.toSorted((a, b) => a - b)
  rows[name] = {
    median: Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0),
    worst: Math.round(sorted.at(-1) ?? 0),
  }
  console.log(name, rows[name])
}
console.table(rows)
await sql.end({ timeout: 1 })
