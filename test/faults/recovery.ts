/** How long is a fault felt? From the fault to the next event that a reader gets, in milliseconds. */
import postgres from 'postgres'
import { open } from '../support/client.ts'
import { cluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { isReady } from '../support/process.ts'
import { tokenFor } from '../support/service.ts'
import { startInstance } from './instance.ts'

await using server = await cluster()
await using one = await startInstance('src', server.url, {})
await using two = await startInstance('src', server.url, {})
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

/** Like a browser: comes back to the other instance with its cursor when its stream is cut. */
const reader = () => {
  let count = 0
  let cursor: string | undefined
  let stopped = false
  const run = async () => {
    for (let visit = 0; !stopped; visit++) {
      const { url } = visit % 2 === 0 ? one : two
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

const cases: Record<string, () => Promise<unknown>> = {
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
  'instance killed': async () => {
    one.signal('SIGKILL')
    return () => one.restart()
  },
}

const rows: Record<string, { median: number; worst: number }> = {}
for (const [name, fault] of Object.entries(cases)) {
  const times: number[] = []
  for (let run = 0; run < Number(process.env.RUNS ?? 5); run++) {
    await bothReady()
    const client = reader()
    await publish()
    await eventually(() => client.count > 0, 60_000)
    const seen = client.count
    // From the fault on; for a restart, from when the server is there again.
    let start = performance.now()
    const mend = await fault()
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
