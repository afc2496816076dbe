import { test } from 'bun:test'
import { again } from '../support/again.ts'
import { eventually } from '../support/eventually.ts'
import { debianBinaries, type Server } from '../support/servers.ts'
import { caughtUp, createWorld, promisedMs, type World } from './failover.ts'
import { createRandom, type Random } from './random.ts'

/** How long it tries. `FAILOVER_SECONDS=600 FAILOVER_SEED=7` takes longer than CI has time for. */
const seconds = Number(process.env.FAILOVER_SECONDS ?? 25)
const seed = Number(process.env.FAILOVER_SEED ?? Date.now() % 1_000_000)
const binaries = await debianBinaries()

/** The same choices each time. */
const play = async () => {
  await using world = await createWorld(binaries ?? '')
  const random = createRandom(seed)
  const state: State = { world, random, standby: await world.primary.standby(), losesSome: false }
  const done: string[] = []
  try {
    for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
      await world.deliver(random.integer(1, 5))
      const name = random.pick(Object.keys(steps))
      done.push(name)
      await steps[name]?.(state)
      world.lead(world.primary, random.pick(['kept', 'reset']))
      await world.isRight(Date.now())
    }
    await world.compare({ gap: state.losesSome ? 'perhaps' : false })
  } catch (error) {
    console.log(`seed ${seed}: ${done.join(', ')}`)
    throw error
  }
}

test.skipIf(binaries === null)(
  `whatever answers in between, nothing is lost, repeated or revoked (seed ${seed})`,
  () => again(play),
  3 * (seconds * 1000 + 20 * promisedMs) + 60_000,
)

type State = { world: World; random: Random; standby: Server; losesSome: boolean }

/** Each leaves a primary that answers, and a standby that follows it. */
const steps: Record<string, (state: State) => Promise<void>> = {
  async 'a standby answers'({ world, random, standby }) {
    world.lead(standby, random.pick(['kept', 'reset']))
    await Bun.sleep(random.between(0, 3000))
  },
  async 'nothing answers'({ world, random }) {
    world.lead(null, random.pick(['kept', 'reset']))
    await world.publishOn(world.primary, random.integer(0, 5))
    await Bun.sleep(random.between(0, 3000))
  },
  async 'the primary restarts'({ world, random }) {
    await world.primary.stop(random.pick(['fast', 'immediate']))
    await Bun.sleep(random.between(0, 2000))
    await world.primary.start()
  },
  async 'the primary is read-only'({ world: { primary }, random }) {
    await primary.sql`alter system set default_transaction_read_only = on`
    await primary.sql`select pg_reload_conf()`
    await Bun.sleep(random.between(0, 2000))
    await primary.sql.unsafe('alter system reset default_transaction_read_only')
    await primary.sql`select pg_reload_conf()`
    // The test's own three sessions read the setting as late as the service's.
    const ask = () => primary.sql`
      select current_setting('default_transaction_read_only') as it_is, pg_sleep(0.1)`
    await eventually(async () => {
      const answers = await Promise.all([ask(), ask(), ask()])
      return answers.every(([row]) => row?.it_is === 'off')
    })
  },
  async 'a standby takes over'(state) {
    const { world, random } = state
    await world.deliver(random.integer(1, 5))
    await world.primary.stop('fast')
    await takeOver(state)
  },
  async 'a standby that lacks some takes over'(state) {
    const { world, random, standby } = state
    await standby.follow(false)
    const lost = random.integer(1, 5)
    if (random.chance(0.7)) await world.deliver(lost)
    else await world.publishOn(world.primary, lost)
    await world.primary.stop()
    state.losesSome = true
    await takeOver(state)
  },
  async 'the old primary goes on beside the new one'(state) {
    const { world, random, standby } = state
    const old = world.primary
    await world.deliver(random.integer(1, 5))
    await caughtUp(old, standby)
    await takeOver(state)
    world.lead(random.pick([old, standby]), 'kept')
    state.losesSome = true
    await world.publishOn(old, random.integer(0, 5))
    await Bun.sleep(random.between(0, 3000))
  },
  async 'the database is put back'(state) {
    const { world, random } = state
    const dumped = await world.primary.dump()
    await world.deliver(random.integer(1, 5))
    world.lead(null)
    await world.primary.restore(dumped)
    await world.publishOn(world.primary, random.integer(0, 12))
    state.losesSome = true
  },
}

const takeOver = async (state: State) => {
  const { world, standby } = state
  if (state.random.chance(0.5)) world.lead(standby)
  await standby.promote()
  world.primary = standby
  await world.publishOn(standby, state.random.integer(0, 5))
  state.standby = await standby.standby()
}
