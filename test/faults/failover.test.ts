import { test } from 'bun:test'
import { again } from '../support/again.ts'
import { eventually } from '../support/eventually.ts'
import { debianBinaries } from '../support/servers.ts'
import { caughtUp, copyLogically, createWorld, spendTransactions, type World } from './failover.ts'

const binaries = await debianBinaries()
if (binaries === null) {
  console.log('The failover tests need postgresql-15 or later of Debian, with pg_basebackup.')
}

/** A case in a world of its own, which began with five notifications that everybody has. */
const scenario = (name: string, play: (world: World) => Promise<void>) =>
  test.skipIf(binaries === null)(
    name,
    () =>
      again(async () => {
        await using world = await createWorld(binaries ?? '')
        await world.arrived(await world.publishOn(world.primary, 5))
        await play(world)
      }),
    240_000,
  )

/** How long the address leads elsewhere. */
const awayMs = 1500

scenario('a standby that answers for a while is not used, and nothing is missing', async world => {
  const standby = await world.primary.standby()
  for (const open of ['reset', 'kept'] as const) {
    world.lead(standby, open)
    await world.publishOn(world.primary, 3)
    await Bun.sleep(awayMs)
    world.lead(world.primary, open)
    await world.isRight(Date.now())
  }
  await world.compare({ gap: false })
})

scenario('a standby that becomes the primary goes on where the old one ended', async world => {
  const standby = await world.primary.standby()
  await world.arrived(await world.publishOn(world.primary, 3))
  await world.primary.stop('fast')
  world.lead(standby)
  await Bun.sleep(awayMs)
  await standby.promote()
  world.primary = standby
  await world.isRight(Date.now())
  await world.compare({ gap: false })
})

scenario('a standby that lacks what was delivered goes on with a gap', async world => {
  const standby = await world.primary.standby()
  await standby.follow(false)
  await world.arrived(await world.publishOn(world.primary, 3))
  await world.primary.stop()
  await standby.promote()
  world.primary = standby
  await world.publishOn(standby, 10)
  world.lead(standby)
  await world.isRight(Date.now())
  await world.compare({ gap: true })
})

scenario('a standby that takes over right after the database was put back goes on', async world => {
  const standby = await world.primary.standby()
  const dumped = await world.primary.dump()
  world.lead(null)
  await world.primary.restore(dumped)
  await caughtUp(world.primary, standby)
  // Without a checkpoint the standby has in its files only what WAL has told it to write at once.
  await world.primary.stop('immediate')
  await standby.promote()
  world.primary = standby
  world.lead(standby)
  await world.isRight(Date.now())
  await world.compare({ gap: 'perhaps' })
})

scenario(
  'a server that is read-only for a while is read from, and then written to again',
  async world => {
    const { sql } = world.primary
    await sql`alter database kairan set default_transaction_read_only = on`
    world.lead(world.primary)
    await Bun.sleep(awayMs)
    await eventually(async () => (await fetch(`${world.urls[0]}/readyz`)).status === 503)
    await sql`set default_transaction_read_only = off`
    await sql`alter database kairan reset default_transaction_read_only`
    await world.isRight(Date.now())
    await world.compare({ gap: false })
  },
)

scenario('a log that was put back and has grown beyond goes on with a gap', async world => {
  const dumped = await world.primary.dump()
  await world.arrived(await world.publishOn(world.primary, 3))
  world.lead(null)
  await world.primary.restore(dumped)
  await world.publishOn(world.primary, 10)
  world.lead(world.primary)
  await world.isRight(Date.now())
  await world.compare({ gap: true })
})

for (const age of ['younger', 'older']) {
  scenario(
    `a dump in a cluster that is ${age} goes on with a gap where some are missing`,
    async world => {
      const other = await world.servers.create()
      if (age === 'older') await spendTransactions(other.sql, 100_000)
      const dumped = await world.primary.dump()
      await world.arrived(await world.publishOn(world.primary, 3))
      await other.restore(dumped)
      world.lead(other)
      world.primary = other
      await world.isRight(Date.now())
      await world.compare({ gap: true })
    },
  )

  scenario(`a dump in a cluster that is ${age} and lacks nothing goes on`, async world => {
    const other = await world.servers.create()
    if (age === 'older') await spendTransactions(other.sql, 100_000)
    world.lead(null)
    await world.publishOn(world.primary, 3)
    await other.restore(await world.primary.dump())
    await world.publishOn(other, 3)
    world.lead(other)
    world.primary = other
    await world.isRight(Date.now())
    await world.compare({ gap: 'perhaps' })
  })
}

scenario('a logical copy goes on', async world => {
  const other = await world.servers.create()
  world.lead(null)
  await world.publishOn(world.primary, 3)
  await copyLogically(world.primary, other)
  await world.publishOn(other, 3)
  world.lead(other)
  world.primary = other
  await world.isRight(Date.now())
  await world.compare({ gap: 'perhaps' })
})

scenario(
  'another database that answers for a while is left again, whatever it keeps open',
  async world => {
    const other = await world.servers.create()
    const dumped = await world.primary.dump()
    await world.arrived(await world.publishOn(world.primary, 3))
    await other.restore(dumped)
    for (const open of ['reset', 'kept'] as const) {
      world.lead(other, open)
      await world.publishOn(other, 4)
      await world.publishOn(world.primary, 4)
      await Bun.sleep(awayMs * 2)
      world.lead(world.primary, open)
      await world.isRight(Date.now())
    }
    await world.compare({ gap: true })
  },
)
