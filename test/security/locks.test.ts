import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { denied, login, stateOf } from '../support/logins.ts'
import { migrated } from '../support/schema.ts'
import { serve, tokenFor } from '../support/service.ts'

test('whoever holds all advisory locks near those of the first version delays nothing', async () => {
  await using db = await migrated()
  await using stranger = await login(db)
  const holder = await stranger.sql.reserve()
  await holder`select pg_advisory_lock(n) from generate_series(118066125103460, 118066125103490) n`
  {
    await using service = await serve(db, { MAX_STREAMS_PER_USER: '1' })
    const token = await tokenFor('1')
    await using first = await openReady(service.url, { token })
    await eventually(async () => (await db.sql`select from kairan.presence`).length === 1)
    // What presence counts: the oldest is replaced.
    await using second = await openReady(service.url, { token })
    await first.control('replaced')
    await db.sql`select kairan.publish('user-1', '{}')`
    await second.atLeast(1)
  }
  // It says that it ends.
  await eventually(async () => (await db.sql`select from kairan.instances`).length === 0)
  holder.release()
})

test('what is locked asks for a right', async () => {
  await using db = await migrated()
  await using stranger = await login(db, 'kairan_publisher', 'kairan_reader')
  expect(await stateOf(stranger.sql`select from kairan.locks for update`)).toBe(denied)
  const tables = await db.sql<{ name: string }[]>`
    select format('kairan.%I', relname) as name from pg_class where relnamespace = 'kairan'::regnamespace and relkind in ('r', 'p')`
  for (const { name } of tables) {
    for (const mode of ['row exclusive', 'share row exclusive', 'access exclusive']) {
      const state = await stateOf(
        stranger.sql.begin(sql => sql.unsafe(`lock table ${name} in ${mode} mode nowait`)),
      )
      expect([name, mode, state]).toEqual([name, mode, denied])
    }
  }
})

test('no function takes an advisory lock, whose number everybody knows', async () => {
  await using db = await migrated()
  const functions = await db.sql<{ name: string }[]>`
    select proname as name from pg_proc
    where pronamespace = 'kairan'::regnamespace and prosrc ~ 'pg_(try_)?advisory' order by 1`
  // Until the log is without them.
  const known = ['fall_asleep', 'fan_out', 'fold_inbox', 'prune', 'ring', 'sequence']
  expect(functions.map(({ name }) => name).filter(name => !known.includes(name))).toEqual([])
})
