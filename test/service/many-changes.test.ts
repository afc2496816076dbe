import { expect, test } from 'bun:test'
import { again, expectWithin } from '../support/again.ts'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { login } from '../support/logins.ts'
import { serve, tokenFor } from '../support/service.ts'

/** The longest that `/livez` took while `work` went on, in milliseconds. */
const slowestLivez = async (url: string, work: () => Promise<unknown>) => {
  let slowest = 0
  let isDone = false
  const probing = (async () => {
    while (!isDone) {
      const at = performance.now()
      await (await fetch(`${url}/livez`)).text()
      slowest = Math.max(slowest, performance.now() - at)
      await Bun.sleep(1)
    }
  })()
  try {
    await work()
  } finally {
    isDone = true
    await probing
  }
  return slowest
}

/** The figure is 100 ms; a machine that is shared needs some more. */
const generousMs = 400

const blocksNobody = async (url: string, work: () => Promise<unknown>) =>
  expectWithin('the slowest /livez', await slowestLivez(url, work), generousMs)

test('100,000 NOTIFYs about a user by a login without rights block nobody', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using stranger = await login(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  let published = 0
  const flood = async () => {
    // All different: those of a transaction that are alike are sent once.
    await stranger.sql`
      select pg_notify('kairan_users', json_build_object('action', 'reauthorize', 'userId', '42', 'n', n)::text)
      from generate_series(1, 100000) n`
    await db.sql`select kairan.publish('user-42', '{}')`
    await client.atLeast(++published)
  }
  await again(() => blocksNobody(service.url, flood))
})

test('a login that NOTIFYs all the time does not silence a user', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using stranger = await login(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  let isDone = false
  const loop = (async () => {
    const about = JSON.stringify({ action: 'reauthorize', userId: '42' })
    while (!isDone) await stranger.sql`select pg_notify('kairan_users', ${about})`
  })()
  let sent = 0
  const round = async () => {
    const at = performance.now()
    await db.sql`select kairan.publish('user-42', '{}')`
    await db.sql`select pg_notify('kairan', '{"channel": "user-42", "payload": {}}')`
    sent += 2
    await client.atLeast(sent)
    expectWithin('both events', performance.now() - at, 1000)
  }
  for (let n = 1; n <= 20; n++) await again(round)
  isDone = true
  await loop
})

test('the live path waits until a change of its user is known, and no longer', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.roles values ('1', 100)`
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  await db.sql.unsafe(`do $$ begin
    update kairan.roles set role_level = 0;
    commit;
    perform pg_notify('kairan', '{"channel": "admin-dashboard", "payload": {}}');
    perform pg_notify('kairan', '{"channel": "user-1", "payload": {}}');
  end $$`)
  await client.atLeast(1)
  expect(client.events.map(({ channel }) => channel)).toEqual(['user-1'])
})

test('what is told of a user is in no NOTIFY', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('secret-user') })
  await using stranger = await login(db)
  const heard: string[] = []
  await stranger.sql.listen('kairan_users', payload => heard.push(payload))
  await db.sql`select kairan.publish('user-secret-user', '{}')`
  const [event] = await client.atLeast(1)
  await fetch(`${service.url}/notifications/read`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await tokenFor('secret-user')}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ ids: [event?.id] }),
  })
  await db.sql`select kairan.reauthorize('secret-user'), kairan.disconnect('secret-user')`
  await client.control('revoked')
  await eventually(() => heard.length >= 2)
  expect(heard.filter(payload => payload !== '')).toEqual([])
})

test('TRUNCATE of the role levels reaches the open streams', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.roles values ('1', 100)`
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  await db.sql`truncate kairan.roles`
  await db.sql`select kairan.publish(array['admin-dashboard', 'user-1'], '{}')`
  await client.atLeast(1)
  expect(client.events.map(({ channel }) => channel)).toEqual(['user-1'])
})

test('50,000 members who join in one statement block nobody, and all see what follows', async () => {
  await using db = await database()
  await using service = await serve(db)
  const clients = await Promise.all(
    Array.from({ length: 200 }, async (_, n) =>
      openReady(service.url, { token: await tokenFor(`u${n * 250}`) }),
    ),
  )
  const expected: string[] = []
  const joinAndLeave = async () => {
    expected.push('org-7', 'all-users')
    await db.sql`insert into kairan.members select 'org-7', 'u' || n from generate_series(0, 49999) n`
    await db.sql`select kairan.publish('org-7', '{}')`
    await Promise.all(clients.map(client => client.atLeast(expected.length - 1)))
    await db.sql`truncate kairan.members`
    await db.sql`select kairan.publish(array['org-7', 'all-users'], '{}')`
    await Promise.all(clients.map(client => client.atLeast(expected.length)))
  }
  await again(() => blocksNobody(service.url, joinAndLeave))
  for (const { events } of clients) {
    expect(events.map(({ channel }) => channel)).toEqual(expected)
  }
  for (const client of clients) client.close()
})
