import type postgres from 'postgres'
import { eventually } from '../support/eventually.ts'
import { isReady } from '../support/process.ts'
import { receiver } from '../support/receiver.ts'
import { createServers, type Server } from '../support/servers.ts'
import { faults } from './faults.ts'
import { type App, endClients, publishAndReceive, type Sent } from './follow-up-users.ts'
import { type Instance, startInstance } from './instance.ts'
import { createRandom, type Random } from './random.ts'

export type FollowUpOutcome = {
  published: number
  followedUp: number
  /** A follow-up was made, though it was received before its time, says its receipt or the answer to its client. */
  early: number
  /** Neither followed up, nor received, read or withdrawn. */
  missing: number
  /** Two follow-ups of one notification, or one follow-up posted under two ids. */
  twice: number
  /** Finished, and the receiver of webhooks has never said that it has it. */
  lost: number
  /** How many were received in each way, and how many follow-ups of each failed first. */
  received: Record<string, number>
  retried: number
  faults: Record<string, number>
}

const secret = `whsec_${btoa('k'.repeat(32))}`

/**
 * Publishes with follow_up_after, receives some of it about when it is due, posts follow-ups to a receiver that fails,
 * hangs and restarts, and breaks instances and Postgres meanwhile, a failover included. Then everything is mended, and
 * the tables are compared with what was done.
 */
export const followUpsUnderFaults = async (options: {
  seconds: number
  seed: number
  source: string
  binaries: string
  report(line: string): void
  /** SQL that plants a mistake. */
  mistake?: string
}): Promise<FollowUpOutcome> => {
  const random = createRandom(options.seed)
  await using stack = new AsyncDisposableStack()
  const servers = stack.use(await createServers(options.binaries))
  const world = { primary: await servers.create(), standby: null as Server | null }
  await migrate(options.source, world.primary.url)
  if (options.mistake) await world.primary.sql.unsafe(options.mistake)
  world.standby = await world.primary.standby()

  const hooks = stack.use(await startReceiver(createRandom(options.seed + 1), options.seconds > 30))
  const env = { WEBHOOK_URL: hooks.url, WEBHOOK_SECRET: secret }
  const instances: Instance[] = []
  for (let n = 0; n < 2; n++) {
    instances.push(stack.use(await startInstance(options.source, world.primary.url, env)))
  }
  await eventually(async () => (await Promise.all(instances.map(ready))).every(Boolean))

  const sent: Sent[] = []
  const app: App = { stopped: false, url: () => world.primary.url, instances, sent }
  const users = Array.from({ length: 5 }, (_, n) =>
    publishAndReceive(app, n, createRandom(options.seed + 2 + n)),
  )
  const known: Record<string, () => Promise<void>> = {
    'a standby takes over': async () => {
      const { primary, standby } = world
      if (!standby) return
      await streams(primary)
      // It waits until the standby has everything.
      await primary.stop('fast')
      await standby.promote()
      world.primary = standby
      for (const { proxy } of instances)
        proxy.leadTo(world.primary.port, random.pick(['kept', 'reset']))
      world.standby = await world.primary.standby()
    },
    'the receiver restarts': () => hooks.restart(random.between(100, 3000)),
  }
  const shim = () => ({
    ...{ url: world.primary.url, port: world.primary.port, data: '' },
    stop: (mode: 'fast' | 'immediate') => world.primary.stop(mode),
    start: () => world.primary.start(),
    [Symbol.asyncDispose]: async () => undefined,
  })
  for (const [name, fault] of Object.entries(faults)) {
    // It stops a process of this machine for seconds: which one it is, only the embedded Postgres says.
    if (name === 'backend frozen') continue
    known[name] = () => fault({ cluster: shim(), instances, random, nats: null })
  }

  const done: Record<string, number> = {}
  const start = Date.now()
  while (Date.now() < start + options.seconds * 1000) {
    await Bun.sleep(random.between(200, 1500))
    const name = random.pick(Object.keys(known))
    options.report(`${((Date.now() - start) / 1000).toFixed(1)} s: ${name}`)
    await known[name]?.()
    done[name] = (done[name] ?? 0) + 1
  }
  app.stopped = true
  await Promise.all(users)
  await endClients()
  hooks.mend()
  await settled(world.primary.sql)
  return { ...(await compare(world.primary.sql, sent, hooks)), faults: done }
}

/** Waits until the standby of a server follows it. */
const streams = ({ sql }: Server) =>
  eventually(async () => {
    const rows = await sql`select from pg_stat_replication where state = 'streaming'`
    return rows.length > 0
  })

const migrate = async (source: string, url: string) => {
  const migrating = Bun.spawn([process.execPath, `${source}/main.ts`, 'migrate'], {
    env: { DATABASE_URL: url },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if ((await migrating.exited) !== 0) throw new Error('The schema could not be made')
}

const ready = ({ url }: Instance) => isReady(url)

/** Receives webhooks: some fail, some hang (a short run does not wait for that), and sometimes it is away. */
const startReceiver = async (random: Random, hangs: boolean) => {
  const accepted = new Set<string>()
  const ids = new Map<string, Set<string>>()
  let isMended = false
  let requests = 0
  const open = async (port?: number) => {
    const hook = await receiver(port)
    hook.state.answer = ({ id, data: { userId } }, response) => {
      requests++
      ids.set(userId, (ids.get(userId) ?? new Set()).add(id))
      if (hangs && !isMended && random.chance(0.02)) return
      if (!isMended && random.chance(0.1)) return void response.destroy()
      if (!isMended && random.chance(0.1)) return void response.writeHead(503).end()
      accepted.add(userId)
      response.writeHead(204).end()
    }
    return hook
  }
  let current = await open()
  const { url, port } = current
  return {
    url,
    accepted,
    ids,
    get requests() {
      return requests
    },
    async restart(awayMs: number) {
      await current[Symbol.asyncDispose]()
      await Bun.sleep(awayMs)
      current = await open(port)
    },
    mend() {
      isMended = true
    },
    [Symbol.asyncDispose]: () => current[Symbol.asyncDispose](),
  }
}

/** Waits until nothing is due and every follow-up has been posted. Nobody waits for its next attempt. */
const settled = (sql: postgres.Sql) =>
  eventually(async () => {
    await sql`
      update kairan.follow_ups set available_at = now()
      where finished_at is null and available_at > now() + interval '3 seconds'`
    const [row] = await sql`
      select (select count(*) from kairan.follow_up_due) + (select count(*) from kairan.unnumbered())
        + (select count(*) from kairan.follow_ups where finished_at is null) as open`
    return Number(row?.open) === 0
  }, 120_000)

const compare = async (
  sql: postgres.Sql,
  sent: Sent[],
  hooks: { accepted: Set<string>; ids: Map<string, Set<string>>; requests: number },
) => {
  type Row = {
    user: string
    dueMs: number | null
    error: string | null
    followUps: number
    isEarly: boolean
    isReceived: boolean
  }
  const rows = await sql<Row[]>`
    select substr(n.channels[1], 6) as user, f.due as "dueMs", f.error, f.count::int as "followUps",
      coalesce(f.due_at > r.first, false) as "isEarly",
      r.first is not null or i.user_id is not null or n.expires_at = '-infinity' as "isReceived"
    from kairan.notifications n
    left join lateral (
      select min(due_at) as due_at, (extract(epoch from min(due_at)) * 1000)::float8 as due, count(*), min(error) as error
      from kairan.follow_ups where notification_id = n.id
    ) f on true
    left join lateral (
      select min(confirmed_at) as first from kairan.receipts where user_id = substr(n.channels[1], 6)
    ) r on true
    left join kairan.inboxes i on i.user_id = substr(n.channels[1], 6)`
  const byUser = new Map(sent.map(item => [item.user, item]))
  const isEarly = ({ user, dueMs, isEarly }: Row) => {
    const answeredAt = byUser.get(user)?.answeredAt ?? null
    return isEarly || (dueMs !== null && answeredAt !== null && answeredAt < dueMs)
  }
  for (const row of rows.filter(isEarly)) console.log('early', row, byUser.get(row.user))
  const followed = rows.filter(({ followUps }) => followUps > 0)
  const received: Record<string, number> = {}
  for (const { how, answeredAt } of sent) {
    if (answeredAt !== null) received[how] = (received[how] ?? 0) + 1
  }
  return {
    published: rows.length,
    followedUp: followed.length,
    early: followed.filter(isEarly).length,
    missing: rows.filter(({ followUps, isReceived }) => followUps === 0 && !isReceived).length,
    twice:
      followed.filter(({ followUps }) => followUps > 1).length +
      [...hooks.ids.values()].filter(({ size }) => size > 1).length,
    lost: followed.filter(({ user, error }) => error === null && !hooks.accepted.has(user)).length,
    received,
    retried: hooks.requests - hooks.accepted.size,
  }
}
