import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Report } from '../../src/lib/report.ts'
import { createWorkers } from '../../src/process/workers.ts'
import { type Binary, compile, fromSource } from '../support/binary.ts'
import { type Client, openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/port.ts'
import { isGone } from '../support/process.ts'
import { tokenFor } from '../support/service.ts'
import { connectionsOf, type Supervisor, supervise } from '../support/supervisor.ts'

let compiled: Binary
beforeAll(async () => {
  compiled = await compile()
})
afterAll(() => compiled.remove())

/** Where each port is shared, and /proc tells by whom. */
describe.skipIf(process.platform !== 'linux')('several workers', () => {
  test('share the port and the streams, prepare the schema once, and say once that they are ready', async () => {
    await using db = await database({ empty: true })
    await using supervisor = supervise(db)
    const url = await supervisor.url()
    await using streams = await openOnBoth(supervisor)
    expect(streams.clients.length).toBe(streams.counts.reduce((sum, count) => sum + count))

    await publish(db, 3)
    for (const client of streams.clients)
      expect(numbersOf(await client.atLeast(3))).toEqual([1, 2, 3])
    // Each worker has 6 for queries, one to listen and one to number; the one that numbers has another one.
    // One that is replaced may still be there.
    await eventually(async () => {
      const rows = await db.sql`
        select from pg_stat_activity
        where datname = current_database() and application_name like 'kairan%'`
      return rows.length <= 17
    })

    const said = saidBy(supervisor)
    expect(said).toEqual([
      expect.objectContaining({ msg: 'The schema kairan is up to date.', worker: 1 }),
      expect.objectContaining({ msg: 'Kairan is ready.', url, workers: 2 }),
    ])
    expect(said[1]).not.toHaveProperty('worker')
  })

  test('whichever is asked for metrics answers for all', async () => {
    await using db = await database({ empty: true })
    await using supervisor = supervise(db)
    await supervisor.url()
    await using streams = await openOnBoth(supervisor)
    const { clients, counts } = streams
    await publish(db, 3)
    for (const client of clients) await client.atLeast(3)
    const url = await supervisor.url()
    const text = await eventually(async () => {
      const answer = await (await fetch(`${url}/metrics`)).text()
      return sum(answer, 'kairan_events_delivered_total') === clients.length * 3 ? answer : null
    })
    expect(sum(text, 'kairan_streams')).toBe(clients.length)
    for (const worker of [1, 2]) {
      expect(text).toContain(`kairan_streams{worker="${worker}"} ${counts[worker - 1]}`)
    }
    expect(text.match(/^# TYPE kairan_streams gauge$/gm)).toHaveLength(1)
  })

  test('start again one that was killed, whose streams resume without a gap, while the others go on', async () => {
    await using db = await database({ empty: true })
    await using supervisor = supervise(db)
    const url = await supervisor.url()
    await using streams = await openOnBoth(supervisor)
    const { clients, counts } = streams
    await publish(db, 3)
    for (const client of clients) await client.atLeast(3)

    const pids = await supervisor.workers()
    process.kill(pidOf(pids, 2), 'SIGKILL')
    await publish(db, 3, 4)
    const cut = await eventually(() => {
      const ended = clients.filter(client => client.ended)
      return ended.length === counts[1] ? ended : null
    })
    await eventually(() => supervisor.lines.some(({ msg }) => msg === 'A worker is ready again.'))
    const after = await supervisor.workers()
    expect(pidOf(after, 1)).toBe(pidOf(pids, 1))
    expect(pidOf(after, 2)).not.toBe(pidOf(pids, 2))
    await publish(db, 3, 7)

    for (const client of clients) {
      if (!cut.includes(client)) {
        expect(numbersOf(await client.atLeast(9))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
        continue
      }
      const had = numbersOf(client.events)
      await using again = await openReady(url, {
        token: await tokenFor('42'),
        lastEventId: client.lastEventId ?? '',
      })
      const got = numbersOf(await again.atLeast(9 - had.length))
      expect([...had, ...got]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
      expect(again.controls.map(({ type }) => type)).toEqual(['ready'])
    }
    expect(clients.filter(client => client.ended)).toEqual(cut)
    expect(saidBy(supervisor).slice(2)).toEqual([
      expect.objectContaining({ worker: 2, signal: 'SIGKILL' }),
      expect.objectContaining({ worker: 2, msg: 'A worker is ready again.' }),
    ])
  })

  test('drain together on SIGTERM, from the source and compiled, though each gets one more', async () => {
    for (const command of [fromSource, [compiled.path]]) {
      await using db = await database({ empty: true })
      await using supervisor = supervise(db, {}, command)
      await supervisor.url()
      await using streams = await openOnBoth(supervisor)
      const pids = await supervisor.workers()
      expect(pids.size).toBe(2)

      // As systemd does, and a terminal with SIGINT.
      for (const pid of [supervisor.process.pid, ...pids.values()]) terminate(pid)
      for (const client of streams.clients) {
        expect(await client.control('reconnect')).toMatchObject({ reason: 'draining' })
      }
      expect(await supervisor.process.exited).toBe(0)
      expect([...pids.values()].every(isGone)).toBe(true)
      expect(await supervisor.workers()).toEqual(new Map())
    }
  })

  test('end at once at a second signal', async () => {
    await using db = await database({ empty: true })
    await using supervisor = supervise(db, { DRAIN_MS: '3600000' })
    const url = await supervisor.url()
    await using _streams = await openOnBoth(supervisor)
    supervisor.process.kill('SIGINT')
    await eventually(() =>
      fetch(`${url}/readyz`).then(
        ({ status }) => status === 503,
        () => false,
      ),
    )
    const { process: started } = supervisor
    await eventually(() => started.exitCode !== null || started.kill('SIGINT'))
    expect(await started.exited).toBe(130)
    await eventually(async () => (await supervisor.workers()).size === 0)
  })

  test('drain by themselves when the process that started them is killed', async () => {
    await using db = await database({ empty: true })
    // Longer than the second after which they look again.
    await using supervisor = supervise(db, { DRAIN_MS: '3000' })
    await supervisor.url()
    await using streams = await openOnBoth(supervisor)
    supervisor.process.kill('SIGKILL')
    for (const client of streams.clients) {
      expect(await client.control('reconnect')).toMatchObject({ reason: 'draining' })
    }
    await eventually(async () => (await supervisor.workers()).size === 0)
  })

  test('give way to the next start when the process that started them is killed', async () => {
    await using db = await database({ empty: true })
    const env = { PORT: String(await freePort()), DRAIN_MS: '3600000' }
    await using supervisor = supervise(db, env)
    await supervisor.url()
    await using streams = await openOnBoth(supervisor)
    supervisor.process.kill('SIGKILL')
    await using next = supervise(db, env)
    await next.url()
    // The streams of before go on until it is their turn to leave.
    expect((await supervisor.workers()).size).toBe(2)
    await publish(db, 3)
    const leaves = (client: Client) => client.controls.some(({ type }) => type === 'reconnect')
    const hasAll = (client: Client) => client.events.length >= 3
    await eventually(() => streams.clients.every(client => hasAll(client) || leaves(client)))
    expect(streams.clients.some(hasAll)).toBe(true)
  })

  test('kill one that hangs, start it again, and say nothing of it meanwhile', async () => {
    await using db = await database({ empty: true })
    await using supervisor = supervise(db)
    const url = await supervisor.url()
    const pids = await supervisor.workers()
    process.kill(pidOf(pids, 2), 'SIGSTOP')
    const said = () => supervisor.lines.map(({ msg }) => msg)
    const isAlone = (text: string) =>
      text.includes('kairan_ready{worker="1"}') && !text.includes('worker="2"')
    await eventually(async () => {
      // A connection that the one takes which hangs is not answered, so several are made.
      const texts = await Promise.all([1, 2, 3, 4].map(() => metricsWithin(url, 700)))
      return texts.some(isAlone)
    })
    await eventually(() => said().includes('A worker hangs. It is killed.'))
    await eventually(() => said().includes('A worker is ready again.'))
    expect(pidOf(await supervisor.workers(), 2)).not.toBe(pidOf(pids, 2))
  })

  test('end on SIGTERM although one hangs', async () => {
    await using db = await database({ empty: true })
    await using supervisor = supervise(db)
    await supervisor.url()
    const pids = await supervisor.workers()
    process.kill(pidOf(pids, 1), 'SIGSTOP')
    supervisor.process.kill('SIGTERM')
    // Not as one that has drained.
    expect(await supervisor.process.exited).toBe(137)
    expect([...pids.values()].every(isGone)).toBe(true)
  })

  test('are not started on a port that others have, even if those would share it', async () => {
    await using db = await database({ empty: true })
    for (const reusePort of [true, false]) {
      using other = Bun.serve({
        port: 0,
        hostname: '127.0.0.1',
        reusePort,
        fetch: () => new Response(),
      })
      await using supervisor = supervise(db, { PORT: String(other.port) })
      expect(await supervisor.process.exited).toBe(1)
      await eventually(() => supervisor.stderr !== '')
      expect(supervisor.stderr).toBe(
        `Kairan ended: Port ${other.port} on 127.0.0.1 is taken: another process listens there\n`,
      )
      expect(supervisor.lines).toEqual([])
    }
    const [row] = await db.sql`select to_regnamespace('kairan') as schema`
    expect(row?.schema).toBeNull()
  })

  test('are told once, and with 78, that settings are wrong', async () => {
    await using db = await database({ empty: true })
    await using supervisor = supervise(db, { REPLAY_LIMIT: 'all' })
    expect(await supervisor.process.exited).toBe(78)
    await eventually(() => supervisor.stderr.includes('REPLAY_LIMIT'))
    expect(supervisor.stderr.match(/can't start/g)).toHaveLength(1)
  })

  test('say once that they can not start, and end with 1', async () => {
    await using db = await database({ empty: true })
    const url = Object.assign(new URL(db.url), { pathname: '/no_such_database' }).toString()
    await using supervisor = supervise({ url })
    expect(await supervisor.process.exited).toBe(1)
    await eventually(() => supervisor.stderr !== '')
    expect(supervisor.stderr).toBe('Kairan ended: database "no_such_database" does not exist\n')
    expect(supervisor.lines).toEqual([])
  })
})

test('a worker that keeps failing is started again after growing pauses', async () => {
  const { facts, report } = listen()
  const workers = createWorkers({ ...options, report, command: () => ['sh', '-c', 'exit 3'] })
  const ended = workers.run()
  await eventually(() => facts.length >= 4)
  workers.stop()
  expect(await ended).toBe(0)
  for (const [index, { worker, code, againMs }] of facts.entries()) {
    expect({ worker, code }).toEqual({ worker: 1, code: 3 })
    expect(againMs).toBeWithin(50 * 2 ** index, 100 * 2 ** index + 1)
  }
})

test('a worker that was ready for a while does not wait for earlier failures', async () => {
  const { facts, report } = listen()
  let ready = 0
  const notice = { ...report, info: () => void ready++ }
  let ended = 0
  // It ends when it is known to be ready: what it says last may come after its end.
  using server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch() {
      await eventually(() => ready > ended)
      ended++
      return new Response()
    },
  })
  const program = `process.send('http://127.0.0.1'); await fetch('${server.url}'); process.exit(1)`
  const command = () => [process.execPath, '-e', program]
  const workers = createWorkers({ ...options, steadyMs: 0, report: notice, command })
  const running = workers.run()
  await eventually(() => facts.length >= 4)
  workers.stop()
  expect(await running).toBe(0)
  for (const { againMs } of facts) expect(againMs).toBeWithin(50, 101)
})

const options = { count: 1, env: {}, aliveMs: 1000, steadyMs: 10_000 }

/** What was reported about workers that ended. */
const listen = () => {
  const facts: { worker?: number; code?: number; againMs?: number }[] = []
  const ignore = () => undefined
  const report: Report = { info: ignore, warn: ignore, error: found => facts.push(found) }
  return { facts, report }
}

/** Opens streams until both workers have at least two. The kernel chooses, so at most 100 are tried. */
const openOnBoth = async (supervisor: Supervisor) => {
  const url = await supervisor.url()
  const token = await tokenFor('42')
  const clients: Client[] = []
  const close = async () => {
    await Promise.all(clients.map(client => client[Symbol.asyncDispose]()))
  }
  const pids = await supervisor.workers()
  const count = () =>
    Promise.all([1, 2].map(worker => connectionsOf(pidOf(pids, worker), Number(new URL(url).port))))
  let counts = await count()
  while (counts.some(has => has < 2)) {
    if (clients.length >= 100) throw new Error(`Of 100 streams the workers have ${counts}`)
    clients.push(...(await Promise.all([1, 2, 3, 4, 5].map(() => openReady(url, { token })))))
    counts = await count()
  }
  return { clients, counts, [Symbol.asyncDispose]: close }
}

/** What was logged, but for what each worker says about its own start. */
const saidBy = ({ lines }: Supervisor) => lines.filter(({ msg }) => msg !== 'The log is read.')

/** Signals a process that may have drained and ended by another one's signal. */
const terminate = (pid: number) => {
  try {
    process.kill(pid, 'SIGTERM')
  } catch {
    expect(isGone(pid)).toBe(true)
  }
}

/** What is answered in this time; nothing when that is not enough. */
const metricsWithin = async (url: string, ms: number) => {
  try {
    return await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(ms) })).text()
  } catch {
    return ''
  }
}

const pidOf = (pids: Map<number, number>, worker: number) => {
  const pid = pids.get(worker)
  if (pid === undefined) throw new Error(`Worker ${worker} does not run`)
  return pid
}

/** Publishes numbered events, each in a transaction of its own. */
const publish = async ({ sql }: TestDatabase, count: number, from = 1) => {
  for (let n = from; n < from + count; n++) {
    await sql`select kairan.publish('user-42', ${sql.json({ n })})`
  }
}

const numbersOf = (events: Client['events']) => events.map(({ payload }) => Number(payload.n))

/** The sum of a metric over its labels. */
const sum = (text: string, name: string) =>
  [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))].reduce(
    (total, [, value]) => total + Number(value),
    0,
  )
