import postgres from 'postgres'
import type { Cluster } from '../support/cluster.ts'
import type { TestNats } from '../support/nats.ts'
import type { Instance } from './instance.ts'
import type { Random } from './random.ts'

export type World = {
  cluster: Cluster
  instances: Instance[]
  random: Random
  /** The relay, unless Postgres is. */
  nats: TestNats | null
}

/** Each does its harm and mends it before it resolves. */
export const faults: Record<string, (world: World) => Promise<void>> = {
  'backend killed': world => onBackends(world, `pg_terminate_backend(pid)`, 1),
  'all backends killed': world => onBackends(world, `pg_terminate_backend(pid)`, 100),

  'Postgres restarted': world => restart(world, 'fast'),
  'Postgres crashed': world => restart(world, 'immediate'),

  async 'backend frozen'({ cluster, random }) {
    const [row] = await ask(
      cluster,
      `select pid from pg_stat_activity where ${ours} order by random()`,
    )
    if (!row) return
    try {
      process.kill(row.pid, 'SIGSTOP')
      await Bun.sleep(random.between(500, 7000))
    } finally {
      process.kill(row.pid, 'SIGCONT')
    }
  },

  async 'instance frozen'({ instances, random }) {
    const instance = random.pick(instances)
    instance.signal('SIGSTOP')
    await Bun.sleep(random.between(500, 4000))
    instance.signal('SIGCONT')
  },

  async 'instance killed'({ instances, random }) {
    const instance = random.pick(instances)
    instance.signal('SIGKILL')
    await instance.restart()
  },

  async 'instance replaced'({ instances, random }) {
    const instance = random.pick(instances)
    instance.signal('SIGTERM')
    await instance.restart()
  },

  async 'network cut'({ instances, random }) {
    const { proxy } = random.pick(instances)
    proxy.cut()
    await Bun.sleep(random.between(500, 8000))
    proxy.heal()
  },
}

/** What can happen to NATS, besides. */
export const natsFaults: typeof faults = {
  async 'NATS restarted'({ nats, random }) {
    await nats?.kill()
    await Bun.sleep(random.between(0, 3000))
    await nats?.start()
  },

  async 'NATS frozen'({ nats, random }) {
    nats?.signal('SIGSTOP')
    await Bun.sleep(random.between(500, 6000))
    nats?.signal('SIGCONT')
  },
}

const ours = `application_name like 'kairan%'`

const onBackends = async ({ cluster }: World, call: string, most: number) => {
  await ask(
    cluster,
    `select ${call} from (select pid from pg_stat_activity where ${ours} order by random() limit ${most}) b`,
  )
}

const restart = async ({ cluster, random }: World, mode: 'fast' | 'immediate') => {
  await cluster.stop(mode)
  await Bun.sleep(random.between(0, 1500))
  await cluster.start()
}

const ask = async ({ url }: Cluster, text: string) => {
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  try {
    return await sql.unsafe(text)
  } finally {
    await sql.end({ timeout: 1 })
  }
}
