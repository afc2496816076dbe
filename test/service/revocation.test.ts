import { expect, test } from 'bun:test'
import type postgres from 'postgres'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freezeBackends } from '../support/frozen.ts'
import { serve, tokenFor } from '../support/service.ts'
import { ticketFor } from '../support/tickets.ts'

test('a changed role level reaches the open streams of the user', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.roles values ('1', 100)`
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  await db.sql`select kairan.publish('admin-dashboard', '{"n": 1}')`
  await client.atLeast(1)

  await db.sql`update kairan.roles set role_level = 0`
  // There is no sign of it on the stream; a refusal shows that the new level is known. Then all that
  // follows on the channel stays away: the end arrives next.
  await eventually(async () => {
    await using probe = await open(service.url, {
      token: await tokenFor('1'),
      query: '?channels=admin-dashboard',
    })
    return probe.response.status === 403
  })
  await db.sql`select kairan.publish('admin-dashboard', '{"n": 2}')`
  await db.sql`select kairan.publish('user-1', '{"end": true}')`
  const events = await client.atLeast(2)
  expect(events.map(({ channel }) => channel)).toEqual(['admin-dashboard', 'user-1'])
})

test('kairan.disconnect ends the streams of that user alone', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using one = await openReady(service.url, { token: await tokenFor('1') })
  await using two = await openReady(service.url, { token: await tokenFor('2') })

  await db.sql`select kairan.disconnect('1')`
  await one.control('revoked')
  await db.sql`select kairan.publish('all-users', '{}')`
  await two.atLeast(1)
  expect(two.ended).toBe(false)
})

test('role changes do not wait for one another, also not after LISTEN was down', async () => {
  await using db = await database()
  await using service = await serve(db, {
    // As over a slow network.
    ROLE_LEVEL_QUERY: 'select role_level, pg_sleep(0.01) from kairan.roles where user_id = $1',
  })
  await db.sql`insert into kairan.roles select 'u' || n, 0 from generate_series(0, 99) n`
  await db.sql`insert into kairan.roles values ('bad', 100), ('good', 0)`
  const many = await Promise.all(
    Array.from({ length: 100 }, async (_, n) =>
      openReady(service.url, { token: await tokenFor(`u${n}`) }),
    ),
  )
  await using bad = await openReady(service.url, { token: await tokenFor('bad') })
  await using good = await openReady(service.url, { token: await tokenFor('good') })
  await db.sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'kairan listener' and datname = current_database()`
  await eventually(() => service.logs.some(({ sentence }) => sentence === 'LISTEN is up again.'))
  await db.sql`update kairan.roles set role_level = 100 - role_level where user_id in ('bad', 'good')`
  await db.sql`select kairan.publish(array['admin-dashboard', 'user-bad', 'user-good'], '{}')`
  const channels = (client: typeof bad) => client.events.map(({ channel }) => channel)
  await eventually(() => channels(bad).includes('user-bad') && good.events.length === 2)
  expect(channels(bad)).toEqual(['user-bad'])
  expect(channels(good)).toEqual(['admin-dashboard', 'user-good'])
  for (const client of many) client.close()
})

test('a change that is rolled back does nothing', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.roles values ('1', 100)`
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  const ticket = await ticketFor(service.url, '1')
  const rolledBack = new Error('rolled back')
  await db.sql
    .begin(async sql => {
      await sql`update kairan.roles set role_level = 0`
      await sql`select kairan.disconnect('1')`
      throw rolledBack
    })
    .catch(error => expect(error).toBe(rolledBack))
  await db.sql`select kairan.publish('admin-dashboard', '{}')`
  await client.atLeast(1)
  expect(client.controls.map(({ type }) => type)).toEqual(['ready'])
  await using other = await openReady(service.url, { query: `?ticket=${ticket}` })
  expect(other.response.status).toBe(200)
})

test('kairan.disconnect ends the tickets of the user, those whose streams could return too', async () => {
  await using db = await database()
  await using service = await serve(db)
  const fresh = await ticketFor(service.url, '1')
  const spent = await ticketFor(service.url, '1')
  const others = await ticketFor(service.url, '2')
  await using client = await openReady(service.url, { query: `?ticket=${spent}` })
  await db.sql`select kairan.disconnect('1')`
  await client.control('revoked')

  const status = async (ticket: string, lastEventId?: string) => {
    await using stream = await open(service.url, {
      query: `?ticket=${ticket}`,
      ...(lastEventId ? { lastEventId } : {}),
    })
    return stream.response.status
  }
  expect(await status(spent, client.lastEventId)).toBe(401)
  expect(await status(fresh)).toBe(401)
  expect(await status(others)).toBe(200)
})

test('while LISTEN is down, no event overtakes a change of its user, on any instance', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  await db.sql`insert into kairan.roles values ('bad', 100), ('good', 0), ('gone', 100)`
  const clients = await Promise.all(
    [one, two].map(async ({ url }) => ({
      bad: await openReady(url, { token: await tokenFor('bad') }),
      good: await openReady(url, { token: await tokenFor('good') }),
      gone: await openReady(url, { token: await tokenFor('gone') }),
    })),
  )
  using _frozen = await freezeBackends(db.sql, await listeners(db))
  // Nobody has noticed yet that these NOTIFYs do not arrive.
  await db.sql`update kairan.roles set role_level = 100 - role_level where user_id in ('bad', 'good')`
  await db.sql`select kairan.disconnect('gone')`
  await db.sql`select kairan.publish(array['admin-dashboard', 'user-bad', 'user-good', 'user-gone'], '{}')`
  for (const { bad, good, gone } of clients) {
    await eventually(() => bad.events.length > 0 && good.events.length > 1)
    await gone.control('revoked')
    const channels = [bad, good, gone].map(({ events }) => events.map(({ channel }) => channel))
    expect(channels).toEqual([['user-bad'], ['admin-dashboard', 'user-good'], []])
  }
  for (const { bad, good, gone } of clients) for (const each of [bad, good, gone]) each.close()
})

test('a change ends a stream once: who comes back stays', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('1')
  await using client = await openReady(service.url, { token })
  await db.sql`select kairan.disconnect('1')`
  await client.control('revoked')
  await using again = await openReady(service.url, { token })
  // The turn that reads this has read the change from its table, too.
  await db.sql`select kairan.publish('user-1', '{}')`
  await again.atLeast(1)
  await db.sql`select kairan.publish('user-1', '{}')`
  await again.atLeast(2)
  expect(again.ended).toBe(false)
})

const listeners = async ({ sql }: { sql: postgres.Sql }) => {
  const rows = await sql<{ pid: number }[]>`
    select pid from pg_stat_activity
    where application_name = 'kairan listener' and datname = current_database()`
  return rows.map(({ pid }) => pid)
}

test('who can only notify ends no stream, and keeps no change from being heard', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.roles values ('1', 100)`
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  const streamId = String(client.controls[0]?.streamId)
  for (const forged of [
    { action: 'disconnect', userId: '1' },
    { action: 'replace', userId: '1', streamId },
    { action: 'extend', userId: '1', streamId, expiresAt: 1 },
    { action: 'reauthorize', userId: '1' },
  ]) {
    await db.sql`select pg_notify('kairan_users', ${JSON.stringify(forged)})`
  }
  await db.sql`update kairan.roles set role_level = 0`
  await db.sql`select kairan.publish(array['admin-dashboard', 'user-1'], '{}')`
  await client.atLeast(1)
  expect(client.events.map(({ channel }) => channel)).toEqual(['user-1'])
  expect(client.ended).toBe(false)
})

test('thousands of changes at once are all heard', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('u2500') })
  await db.sql`select kairan.disconnect('u' || n) from generate_series(1, 3500) n`
  await client.control('revoked')
})

test('a change that comes while the log can not be read is heard when it can', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  await db.sql`alter function kairan.number rename to away`
  await eventually(() => service.logs.some(({ sentence }) => sentence.includes('can not be read')))
  await db.sql`select kairan.disconnect('1')`
  await db.sql`alter function kairan.away rename to number`
  await client.control('revoked')
})

test('an inbox page that is read while its user is demoted has nothing of the lost channel', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.roles values ('7', 100)`
  const headers = { authorization: `Bearer ${await tokenFor('7')}` }
  const channelsOf = async () => {
    const response = await fetch(`${service.url}/notifications`, { headers })
    expect(response.status).toBe(200)
    const { notifications } = await response.json()
    return notifications.map(({ channel }: { channel: string }) => channel)
  }
  await db.sql`select kairan.publish(channel, '{}') from unnest('{user-7,admin-dashboard}'::text[]) channel`
  await eventually(async () => (await channelsOf()).includes('admin-dashboard'))

  const { promise: demoted, resolve: demote } = Promise.withResolvers<void>()
  const { promise: locked, resolve: lock } = Promise.withResolvers<void>()
  const locking = db.sql.begin(async tx => {
    await tx`lock table kairan.notifications in access exclusive mode`
    lock()
    await demoted
  })
  await locked
  const page = channelsOf()
  await eventually(async () => {
    const [row] = await db.sql`
      select count(*)::int as n from pg_stat_activity
      where application_name = 'kairan requests' and wait_event_type = 'Lock'
        and datname = current_database()`
    return row?.n > 0
  })
  // The page has looked up the role level of before, and will read what is committed after it.
  await db.sql`update kairan.roles set role_level = 0 where user_id = '7'`
  demote()
  await locking
  expect(await page).toEqual(['user-7'])
})
