import { expect, test } from 'bun:test'
import { type Client, open, openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freezeBackends } from '../support/frozen.ts'
import { tokenWith } from '../support/publish.ts'
import { serve, type TestService, tokenFor } from '../support/service.ts'
import { ticketFor } from '../support/tickets.ts'

const channelsOf = ({ events }: Client) => events.map(({ channel }) => channel)
const numbersOf = ({ events }: Client) => events.map(({ payload }) => payload.n)

const publish = ({ sql }: TestDatabase, channels: string[], n: number) =>
  sql`select kairan.publish(${channels}::text[], jsonb_build_object('n', ${n}::int))`

const subscriber = (userId: string, subscribe: unknown) =>
  tokenWith({ sub: userId, 'kairan:subscribe': subscribe })

test('members read the channels of the application, and nobody else does', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.members values ('org-7', 'in'), ('news', '*'), ('org-8', 'other')`
  await using member = await openReady(service.url, { token: await tokenFor('in') })
  await using stranger = await openReady(service.url, { token: await tokenFor('out') })
  await publish(db, ['org-7'], 1)
  await publish(db, ['org-8'], 2)
  await publish(db, ['news', 'order:42', 'https://example.com/books/1'], 3)
  await publish(db, ['all-users'], 4)
  await eventually(() => numbersOf(member).includes(4) && numbersOf(stranger).includes(4))
  expect(channelsOf(member)).toEqual(['org-7', 'news', 'all-users'])
  expect(channelsOf(stranger)).toEqual(['news', 'all-users'])
})

test('a channel that may not be read is refused by its name, whoever asks for it', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.members values ('org-7', '1'), ('org-8', '2')`
  const ask = async (query: string) => {
    await using client = await open(service.url, { token: await tokenFor('1'), query })
    return [client.response.status, client.text]
  }
  expect(await ask('?channels=org-7&channels=all-users,user-1')).toEqual([200, expect.anything()])
  const [status, text] = await ask('?channels=org-7,org-8')
  expect(status).toBe(403)
  expect(JSON.parse(`${text}`)).toMatchObject({
    code: 'channel_forbidden',
    detail: expect.stringContaining('"org-8". You may read user-1, all-users, org-7'),
  })
})

test('members are of channels of the application only, and publishers write none', async () => {
  await using db = await database()
  for (const [channel, userId] of [
    ['user-2', '1'],
    ['user-', '1'],
    ['all-users', '1'],
    ['admin-dashboard', '1'],
    ['a b', '1'],
    ['a,b', '1'],
    ['a*', '1'],
    ['', '1'],
    ['x'.repeat(251), '1'],
    ['org-7', ''],
    ['org-7', 'a b'],
    ['org-7', 'x'.repeat(201)],
  ]) {
    const insert = db.sql`insert into kairan.members values (${channel ?? ''}, ${userId ?? ''})`
    await expect(insert).rejects.toMatchObject({ code: '23514' })
  }
  const [rights] = await db.sql`
    select has_table_privilege('kairan_publisher', 'kairan.members', 'insert, update, delete, truncate, select') as publisher,
      has_table_privilege('kairan_service', 'kairan.members', 'insert, update, delete, truncate') as service,
      has_table_privilege('kairan_service', 'kairan.members', 'select') as reads`
  expect(rights).toEqual({ publisher: false, service: false, reads: true })
})

test('CHANNELS_QUERY says who reads a channel, and kairan.reauthorize that it says something else', async () => {
  await using db = await database()
  await db.sql`create table team_members (team int, person int)`
  await db.sql`insert into team_members values (1, 42), (2, 43)`
  await using service = await serve(db, {
    CHANNELS_QUERY: `select 'team-' || team from team_members where person = $1 -- by number;`,
  })
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  // An id that is no number is in no team.
  await using other = await openReady(service.url, { token: await tokenFor('x') })
  await db.sql`update team_members set team = 3 where person = 42`
  await db.sql`select kairan.reauthorize('42')`
  for (const n of [1, 2, 3]) await publish(db, [`team-${n}`], n)
  await publish(db, ['all-users'], 4)
  await eventually(() => numbersOf(client).includes(4) && numbersOf(other).includes(4))
  expect(channelsOf(client)).toEqual(['team-3', 'all-users'])
  expect(channelsOf(other)).toEqual(['all-users'])
})

test('a CHANNELS_QUERY lets nobody read the channel of a user or of the admins', async () => {
  await using db = await database()
  await using service = await serve(db, {
    CHANNELS_QUERY: `select unnest(array['user-2', 'admin-dashboard', 'a b', null, 'org-7', $1])`,
  })
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  await publish(db, ['user-2', 'admin-dashboard', 'org-7'], 1)
  await publish(db, ['all-users'], 2)
  await client.atLeast(2)
  expect(channelsOf(client)).toEqual(['org-7', 'all-users'])
})

test('a CHANNELS_QUERY that fails is no refusal: the client is asked to come back', async () => {
  await using db = await database()
  await using service = await serve(db, { CHANNELS_QUERY: 'select name from away where id = $1' })
  await using client = await open(service.url, { token: await tokenFor('1') })
  await client.control('reconnect')
  expect(client.controls.at(-1)).toMatchObject({ reason: 'unavailable' })
})

test('start says which query of the settings Postgres refuses, and why', async () => {
  await using db = await database()
  await db.sql`create table levels (id int, level int)`
  await using service = await serve(db, {
    CHANNELS_QUERY: 'select name from away where id = $1',
    // A user id that is no number is nobody's: no mistake.
    ROLE_LEVEL_QUERY: 'select level from levels where id = $1',
  })
  const refused = service.logs.filter(({ sentence }) => /^A query of the settings/.test(sentence))
  expect(refused).toEqual([
    {
      level: 'error',
      facts: { name: 'CHANNELS_QUERY', error: 'relation "away" does not exist' },
      sentence: 'A query of the settings is refused: no stream can be opened.',
    },
  ])
})

test('the claim kairan:subscribe lets its user read names, and beginnings that are asked for', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await subscriber('1', ['order:42', 'run-*', 'user-2', '*x', 7])
  await using byName = await openReady(service.url, { token })
  await using asked = await openReady(service.url, { token, query: '?channels=run-a,run-b' })
  await publish(db, ['order:42', 'run-a', 'run-c', 'user-2', 'x'], 1)
  await publish(db, ['run-b', 'user-1'], 2)
  await eventually(() => numbersOf(byName).includes(2) && numbersOf(asked).includes(2))
  expect(channelsOf(byName)).toEqual(['order:42', 'user-1'])
  expect(channelsOf(asked)).toEqual(['run-a', 'run-b'])

  const status = async (claim: unknown, channel: string) => {
    await using client = await open(service.url, {
      token: await subscriber('1', claim),
      query: `?channels=${encodeURIComponent(channel)}`,
    })
    return client.response.status
  }
  expect(await status(['run-*'], 'runs')).toBe(403)
  expect(await status('run-*', 'run-a')).toBe(403)
  expect(await status({ 0: 'run-a' }, 'run-a')).toBe(403)
  expect(await status(['run-a*b'], 'run-ab')).toBe(403)
  // No claim lets anybody read what is another user's, or the admins'.
  expect(await status(['*'], 'user-2')).toBe(403)
  expect(await status(['*', 'admin-dashboard'], 'admin-dashboard')).toBe(403)
  expect(await status(['*'], 'anything')).toBe(200)
})

test('a ticket and a new token carry the claim, and a token without it takes the channels away', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const headers = { authorization: `Bearer ${await subscriber('1', ['order:42'])}` }
  const response = await fetch(`${one.url}/notifications/tickets`, { method: 'POST', headers })
  const { ticket } = await response.json()
  await using client = await openReady(one.url, { query: `?ticket=${ticket}` })
  await publish(db, ['order:42'], 1)
  await client.atLeast(1)

  const renew = async (url: string, token: string) => {
    const { streamId } = await client.control('ready')
    await eventually(async () => {
      const { status } = await fetch(`${url}/notifications/stream/${streamId}/token`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
      })
      return status === 200
    })
  }
  await renew(two.url, await subscriber('1', ['order:43']))
  await publish(db, ['order:42', 'order:43'], 2)
  await client.atLeast(2)
  await renew(one.url, await tokenFor('1'))
  await publish(db, ['order:43', 'user-1'], 3)
  await client.atLeast(3)
  expect(channelsOf(client)).toEqual(['order:42', 'order:43', 'user-1'])

  await using again = await openReady(one.url, {
    query: `?ticket=${ticket}`,
    lastEventId: `${client.lastEventId}`,
  })
  await publish(db, ['order:43', 'user-1'], 4)
  await again.atLeast(1)
  expect(channelsOf(again)).toEqual(['user-1'])
})

test('what is no name in a claim counts for nothing, also where Postgres would not take it', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const odd = [
    '\ud800',
    'a\0b',
    'a b',
    'a,b',
    '',
    'x'.repeat(251),
    `${'x'.repeat(251)}*`,
    '\ud800*',
    '**',
  ]
  const token = await subscriber('1', [...odd, 'order:42', 'run-*'])
  const headers = { authorization: `Bearer ${token}` }
  await using client = await openReady(one.url, { token, query: '?also=run-1' })
  const { streamId } = await client.control('ready')
  await eventually(async () => {
    const renewed = `${two.url}/notifications/stream/${streamId}/token`
    return (await fetch(renewed, { method: 'POST', headers })).status === 200
  })
  const response = await fetch(`${two.url}/notifications/tickets`, { method: 'POST', headers })
  const { ticket } = await response.json()
  await using other = await openReady(one.url, { query: `?ticket=${ticket}` })
  await publish(db, ['order:42', 'run-1', 'user-1'], 1)
  await eventually(() => channelsOf(client).length === 3 && channelsOf(other).length === 2)
})

test('a user with more than MAX_CHANNELS is told how many there are, and may name some', async () => {
  await using db = await database()
  await using service = await serve(db, { MAX_CHANNELS: '10' })
  await db.sql`insert into kairan.members select 'org-' || n, 'many' from generate_series(1, 25) n`
  await db.sql`insert into kairan.members select 'org-' || n, 'few' from generate_series(1, 8) n`
  const ask = async (userId: string, query = '') => {
    await using client = await open(service.url, { token: await tokenFor(userId), query })
    const { status } = client.response
    return status === 200 ? [status] : [status, JSON.parse(client.text).code, client.text]
  }
  expect(await ask('few')).toEqual([200])
  expect(await ask('many')).toEqual([400, 'too_many_channels', expect.stringContaining('25 ch')])
  // Those that are beyond the first ones, too.
  expect(await ask('many', '?channels=org-1,org-25,org-9,user-many')).toEqual([200])
  expect(await ask('many', '?channels=org-26')).toEqual([
    403,
    'channel_forbidden',
    expect.anything(),
  ])
  const names = Array.from({ length: 11 }, (_, n) => `org-${n + 1}`).join()
  expect(await ask('many', `?channels=${names}`)).toEqual([
    400,
    'too_many_channels',
    expect.stringContaining('11 channels'),
  ])

  // A stream that is open follows, too.
  await using narrow = await openReady(service.url, {
    token: await tokenFor('many'),
    query: '?channels=org-24,org-25',
  })
  await db.sql`delete from kairan.members where channel = 'org-24'`
  await publish(db, ['org-24', 'org-25'], 1)
  await narrow.atLeast(1)
  expect(channelsOf(narrow)).toEqual(['org-25'])
  await using full = await openReady(service.url, { token: await tokenFor('few') })
  await db.sql`insert into kairan.members values ('one-more', 'few')`
  await full.control('reconnect')
  expect(full.controls.at(-1)).toMatchObject({ reason: 'too_many_channels' })
})

/** Two instances, with a stream of user 1 on each. */
const twice = async (db: TestDatabase) => {
  const services = [await serve(db), await serve(db)]
  const token = await tokenFor('1')
  const clients: Client[] = []
  for (const { url } of services) clients.push(await openReady(url, { token }))
  return {
    clients,
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close()
      await Promise.all(services.map(service => service[Symbol.asyncDispose]()))
    },
  }
}

const seen = ({ events }: Client) =>
  events.map(({ channel, payload }) => `${channel} ${payload.n}`).toSorted()

test('a join and a leave take effect at their place in the order, on every instance', async () => {
  await using db = await database()
  await using both = await twice(db)
  let n = 0
  /** Publishes on the channel and on the user's own, and waits until both streams have what is for them. */
  const expectSent = async (isMember: boolean) => {
    await publish(db, ['org-7', 'user-1'], ++n)
    for (const client of both.clients) {
      const channels = () =>
        client.events.filter(({ payload }) => payload.n === n).map(({ channel }) => channel)
      await eventually(() => channels().length === (isMember ? 2 : 1))
      expect(channels().toSorted()).toEqual(isMember ? ['org-7', 'user-1'] : ['user-1'])
    }
  }
  for (let round = 0; round < 5; round++) {
    await expectSent(false)
    await db.sql`insert into kairan.members values ('org-7', '1')`
    await expectSent(true)
    await db.sql`update kairan.members set user_id = '2'`
    await expectSent(false)
    await db.sql`update kairan.members set user_id = '*'`
    await expectSent(true)
    await db.sql`truncate kairan.members`
  }
  await expectSent(false)
  // Nothing came later, either: of 21 events on each channel, a member gets the 10 of those times.
  for (const client of both.clients) expect(client.events).toHaveLength(21 + 10)
})

test('while LISTEN is down, a join and a leave take effect at their place, too', async () => {
  await using db = await database()
  await using both = await twice(db)
  const rows = await db.sql<{ pid: number }[]>`
    select pid from pg_stat_activity
    where application_name = 'kairan listener' and datname = current_database()`
  const pids = rows.map(({ pid }) => pid)
  using _frozen = await freezeBackends(db.sql, pids)
  await db.sql`insert into kairan.members values ('org-7', '1')`
  await publish(db, ['org-7', 'user-1'], 1)
  for (const client of both.clients) await client.atLeast(2)
  await db.sql`delete from kairan.members`
  await publish(db, ['org-7', 'user-1'], 2)
  for (const client of both.clients) {
    await client.atLeast(3)
    expect(seen(client)).toEqual(['org-7 1', 'user-1 1', 'user-1 2'])
  }
})

test('what was numbered before a join is not sent, also to a stream that is behind', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  // The stream has taken nothing yet, so its position is before all of these.
  for (const n of [1, 2, 3]) await publish(db, ['org-7'], n)
  await using witness = await openReady(service.url, { token: await tokenFor('2') })
  await publish(db, ['user-2'], 4)
  await witness.atLeast(1)
  await db.sql`insert into kairan.members values ('org-7', '1')`
  await publish(db, ['org-7'], 5)
  await client.atLeast(1)
  expect(numbersOf(client)).toEqual([5])
})

test('a bulk change is one change, and reaches everybody', async () => {
  await using db = await database()
  await using service = await serve(db)
  const users = Array.from({ length: 30 }, (_, n) => `u${n}`)
  const clients = await Promise.all(
    users.map(async user => openReady(service.url, { token: await tokenFor(user) })),
  )
  const changes = async () => {
    const [row] = await db.sql`select count(*)::int as n from kairan.user_changes`
    return row?.n
  }
  await db.sql`insert into kairan.members select 'org-7', 'u' || n from generate_series(0, 2999) n`
  expect(await changes()).toBe(1)
  await publish(db, ['org-7'], 1)
  await Promise.all(clients.map(client => client.atLeast(1)))
  await db.sql`delete from kairan.members where channel = 'org-7'`
  expect(await changes()).toBe(2)
  await db.sql`delete from kairan.members where channel = 'org-7'`
  expect(await changes()).toBe(2)
  await publish(db, ['org-7', 'all-users'], 2)
  await Promise.all(clients.map(client => client.atLeast(2)))
  for (const client of clients) expect(channelsOf(client)).toEqual(['org-7', 'all-users'])
  for (const client of clients) client.close()
})

const change = async ({ url }: TestService, streamId: unknown, token: string, body: object) => {
  const response = await fetch(`${url}/notifications/stream/${streamId}/channels`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return [response.status, await response.json()] as const
}

/** Waits until the other instances know of a stream. Asking them for it spends what a user may ask for. */
const noted = ({ sql }: TestDatabase, streamId: unknown) =>
  eventually(
    async () => (await sql`select from kairan.streams where id = ${`${streamId}`}`).length === 1,
  )

test('an open stream changes its channels, on whichever instance it is', async () => {
  await using db = await database()
  await using one = await serve(db, { MAX_CHANNELS: '4' })
  await using two = await serve(db, { MAX_CHANNELS: '4' })
  await db.sql`insert into kairan.members values ('org-7', '1'), ('org-8', '1')`
  const token = await subscriber('1', ['run-*'])
  await using client = await openReady(one.url, { token, query: '?channels=org-7' })
  const { streamId } = await client.control('ready')
  await noted(db, streamId)
  let n = 0
  for (const via of [one, two]) {
    const added = await change(via, streamId, token, { add: ['org-8', 'run-a'] })
    expect(added).toEqual([200, { channels: ['org-7', 'org-8', 'run-a'] }])
    await publish(db, ['run-a', 'org-8'], ++n)
    await eventually(() => numbersOf(client).filter(number => number === n).length === 2)
    const removed = await change(via, streamId, token, { remove: ['org-8', 'run-a'] })
    expect(removed).toEqual([200, { channels: ['org-7'] }])
    await publish(db, ['run-a', 'org-8', 'org-7'], ++n)
    await eventually(() => numbersOf(client).includes(n))

    const [status, problem] = await change(via, streamId, token, { add: ['run-b', 'org-9'] })
    expect([status, problem.code]).toEqual([403, 'channel_forbidden'])
    expect(problem.detail).toContain('"org-9"')
    expect(await change(via, streamId, await tokenFor('2'), { add: [] })).toEqual([
      404,
      expect.objectContaining({ code: 'stream_not_found' }),
    ])
    expect(
      await change(via, streamId, token, { add: ['run-1', 'run-2', 'run-3', 'run-4'] }),
    ).toEqual([400, expect.objectContaining({ code: 'too_many_channels' })])
    expect(await change(via, streamId, token, { add: ['a b'] })).toEqual([
      400,
      expect.objectContaining({ code: 'bad_channels' }),
    ])
  }
  expect(channelsOf(client).toSorted()).toEqual(
    ['run-a', 'org-8', 'org-7', 'run-a', 'org-8', 'org-7'].toSorted(),
  )
  expect(client.ended).toBe(false)
})

test('a stream of all channels changes, and a channel that it gave up does not come back', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.members values ('org-7', '1'), ('org-8', '1')`
  const token = await subscriber('1', ['run-*'])
  await using client = await openReady(service.url, { token })
  const { streamId } = await client.control('ready')
  const [, changed] = await change(service, streamId, token, { add: ['run-a'], remove: ['org-8'] })
  expect(changed.channels).toEqual(['user-1', 'all-users', 'org-7', 'run-a'])
  // Its channels are looked up again.
  await db.sql`insert into kairan.members values ('org-9', '1')`
  await publish(db, ['run-a', 'org-7', 'org-8', 'org-9'], 1)
  await client.atLeast(3)
  await change(service, streamId, token, { add: ['org-8'], remove: ['run-a'] })
  await publish(db, ['run-a', 'org-8'], 2)
  await client.atLeast(4)
  expect(channelsOf(client).toSorted()).toEqual(['org-7', 'org-8', 'org-9', 'run-a'])
})

test('a ticket is for a channel of the application, and presence tells who is on one', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.members values ('room-1', '1'), ('room-1', '2')`
  await db.sql`insert into kairan.roles values ('boss', 100)`
  const ticket = await ticketFor(service.url, '1', { body: { channels: ['room-1'] } })
  await using one = await openReady(service.url, { query: `?ticket=${ticket}` })
  await using two = await openReady(service.url, { token: await tokenFor('2') })
  await using _three = await openReady(service.url, { token: await tokenFor('3') })
  const present = async () => {
    const rows = await db.sql`select user_id from kairan.presence_of('room-1') order by 1`
    return rows.map(({ user_id }) => user_id).join()
  }
  await eventually(async () => (await present()) === '1,2')
  const response = await fetch(`${service.url}/admin/presence?channel=room-1`, {
    headers: { authorization: `Bearer ${await tokenFor('boss')}` },
  })
  const { users } = await response.json()
  expect(users.map(({ userId }: { userId: string }) => userId)).toEqual(['1', '2'])
  await db.sql`delete from kairan.members where user_id = '1'`
  await one.control('revoked')
  await eventually(async () => (await present()) === '2')
  await change(service, (await two.control('ready')).streamId, await tokenFor('2'), {
    remove: ['room-1'],
  })
  await eventually(async () => (await present()) === '')
})

test('the inbox shows the channels of the application that its user may read now', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.members values ('org-7', '1')`
  await publish(db, ['org-7'], 1)
  await publish(db, ['org-8'], 2)
  await publish(db, ['order:42'], 3)
  const inbox = async () => {
    const response = await fetch(`${service.url}/notifications`, {
      headers: { authorization: `Bearer ${await subscriber('1', ['order:42'])}` },
    })
    const { notifications, unread } = await response.json()
    return [unread, ...notifications.map(({ channel }: { channel: string }) => channel)].join()
  }
  await eventually(async () => (await inbox()) === '2,order:42,org-7')
  await db.sql`delete from kairan.members`
  expect(await inbox()).toBe('1,order:42')
})

test('a stream carries channels besides its own, as far as its user may read them', async () => {
  await using db = await database()
  await using one = await serve(db, { MAX_CHANNELS: '5' })
  await using two = await serve(db, { MAX_CHANNELS: '5' })
  await db.sql`insert into kairan.members values ('org-7', '1')`
  const token = await subscriber('1', ['run-*'])
  const query = '?also=run-a,org-8&also=org-7,b%20d,a*'
  await using client = await openReady(one.url, { token, query })
  const told = () => client.controls.filter(({ type }) => type === 'also')
  const saysLast = (extra: string[], refused: string[]) =>
    eventually(() => Bun.deepMatch({ extra, refused }, told().at(-1) ?? {}))
  await saysLast(['run-a'], ['org-8', 'b d', 'a*'])
  expect(told()).toHaveLength(1)
  // A stream that asked for nothing besides is told nothing of it.
  await using plain = await openReady(one.url, { token })

  const { streamId } = await client.control('ready')
  await noted(db, streamId)
  let n = 0
  /** The channels of the events of one publication on all of them. */
  const carried = async () => {
    await publish(db, ['run-a', 'run-b', 'org-7', 'org-8', 'all-users'], ++n)
    const ofThis = () => client.events.filter(({ payload }) => payload.n === n)
    await eventually(() => ofThis().some(({ channel }) => channel === 'all-users'))
    return ofThis().map(({ channel }) => channel)
  }
  expect(await carried()).toEqual(['run-a', 'org-7', 'all-users'])
  for (const via of [two, one]) {
    const also = ['run-b', 'org-8']
    expect(await change(via, streamId, token, { also })).toEqual([202, { also }])
    expect(await carried()).toEqual(['run-b', 'org-7', 'all-users'])
    await saysLast(['run-b'], ['org-8'])
    await change(via, streamId, token, { also: [] })
    expect(await carried()).toEqual(['org-7', 'all-users'])
    await saysLast([], [])
  }
  // What is too much is refused, and what is refused today is carried once it may be read.
  await change(one, streamId, token, { also: ['run-1', 'run-2', 'run-3', 'org-8'] })
  await saysLast(['run-1', 'run-2'], ['run-3', 'org-8'])
  await change(one, streamId, token, { also: ['org-8'] })
  await saysLast([], ['org-8'])
  await db.sql`insert into kairan.members values ('org-8', '1')`
  expect(await carried()).toEqual(['org-7', 'org-8', 'all-users'])
  await saysLast([], [])
  // A stream hears of a channel that its user may no longer read, and keeps the others.
  await db.sql`delete from kairan.members where channel = 'org-8'`
  await saysLast([], ['org-8'])
  expect(await carried()).toEqual(['org-7', 'all-users'])

  expect((await change(one, streamId, token, { also: 'org-8' }))[0]).toBe(400)
  expect((await change(one, streamId, token, { also: [], add: [] }))[0]).toBe(400)
  expect((await change(one, streamId, await tokenFor('2'), { also: ['run-a'] }))[0]).toBe(404)
  expect(plain.controls.map(({ type }) => type)).toEqual(['ready'])
})

test('a stream that returns with the channels besides its own misses nothing of them', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await subscriber('1', ['run-*'])
  const query = '?channels=user-1&also=run-a,run-b'
  let lastEventId = ''
  {
    await using client = await openReady(service.url, { token, query })
    await publish(db, ['run-a'], 1)
    await client.atLeast(1)
    lastEventId = `${client.lastEventId}`
  }
  await publish(db, ['run-a', 'run-b', 'run-c', 'all-users'], 2)
  await using client = await openReady(service.url, { token, query, lastEventId })
  await client.atLeast(2)
  await publish(db, ['user-1'], 3)
  await client.atLeast(3)
  expect(channelsOf(client)).toEqual(['run-a', 'run-b', 'user-1'])

  // A ticket that is for channels is for no others besides.
  const ticket = await ticketFor(service.url, '1', { body: { channels: ['user-1'] } })
  await using narrow = await openReady(service.url, { query: `?ticket=${ticket}&also=all-users` })
  await publish(db, ['all-users', 'user-1'], 4)
  await eventually(() => numbersOf(narrow).includes(4))
  // What is pending comes first, as 3 may be whose status is not written yet.
  expect(new Set(channelsOf(narrow))).toEqual(new Set(['user-1']))
})
