/**
 * A right is taken away and an event is committed in one transaction, again and again: so both come in one step of the
 * log, to the instance that numbers and to one that follows it. The streams have had the channel just before. The last
 * event of each step is one that they may read: when it has come, nothing of the step is under way any more.
 */
import { expect, test } from 'bun:test'
import type postgres from 'postgres'
import type { Relay } from '../../src/relay/relay.ts'
import { createRandom } from '../faults/random.ts'
import { type Client, openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { honestRelay, lyingRelay } from '../support/lying-relay.ts'
import { tokenWith } from '../support/publish.ts'
import { serve } from '../support/service.ts'

type Query = postgres.PendingQuery<postgres.Row[]>
type Sql = postgres.Sql | postgres.TransactionSql

/** A way to come to a channel and to lose it. */
type Way = {
  /** The channel, of a user of this id. */
  channel(user: string): string
  give(sql: Sql, user: string, channel: string): Query[]
  take(sql: Sql, user: string, channel: string): Query[]
  /** How streams ask for it; for all that they may have, when it is left out. */
  query?(user: string, channel: string): string
  /** Whether a stream adds it once it is open. */
  isAdded?: boolean
}

const join = (sql: Sql, user: string, channel: string) => [
  sql`insert into kairan.members values (${channel}, ${user})`,
]
const leave = (sql: Sql, user: string, channel: string) => [
  sql`delete from kairan.members where channel = ${channel} and user_id = ${user}`,
]
const team = (sql: Sql, user: string, channel: string, isIn: boolean, who: string) => [
  isIn
    ? sql`insert into public.teams values (${channel}, ${user})`
    : sql`delete from public.teams where channel = ${channel} and person = ${user}`,
  sql`select kairan.reauthorize(${who})`,
]
const level = (sql: Sql, user: string, roleLevel: number) =>
  sql`
    insert into kairan.roles values (${user}, ${roleLevel})
    on conflict (user_id) do update set role_level = excluded.role_level`

const member = { channel: (user: string) => `org-${user}`, give: join, take: leave }

const ways: Record<string, Way> = {
  'a role level': {
    channel: () => 'admin-dashboard',
    give: (sql, user) => [level(sql, user, 100)],
    take: (sql, user) => [level(sql, user, 99)],
  },
  'the row of a role level': {
    channel: () => 'admin-dashboard',
    give: (sql, user) => [level(sql, user, 100)],
    take: (sql, user) => [sql`delete from kairan.roles where user_id = ${user}`],
  },
  'a member': member,
  'a member who is moved': {
    ...member,
    take: (sql, user, channel) => [
      sql`delete from kairan.members where channel = ${`${channel}-old`}`,
      sql`update kairan.members set channel = ${`${channel}-old`} where channel = ${channel} and user_id = ${user}`,
    ],
  },
  'a member of a channel that is emptied': {
    ...member,
    give: (sql, user, channel) => [
      sql`insert into kairan.members select ${channel}, u from unnest(array[${user}, 'somebody']) u`,
    ],
    take: (sql, _, channel) => [sql`delete from kairan.members where channel = ${channel}`],
  },
  everyone: {
    ...member,
    give: (sql, _, channel) => join(sql, '*', channel),
    take: (sql, _, channel) => leave(sql, '*', channel),
  },
  'a member who asked for it besides': {
    ...member,
    query: (_, channel) => `?also=${channel},org-no`,
  },
  'a member who asked for it by name': {
    ...member,
    query: (user, channel) => `?channels=user-${user},${channel}`,
  },
  'a member who added it to an open stream': {
    ...member,
    query: user => `?channels=user-${user}`,
    isAdded: true,
  },
  CHANNELS_QUERY: {
    channel: user => `team-${user}`,
    give: (sql, user, channel) => team(sql, user, channel, true, user),
    take: (sql, user, channel) => team(sql, user, channel, false, user),
  },
  'CHANNELS_QUERY, of everybody': {
    channel: user => `team-${user}`,
    give: (sql, user, channel) => team(sql, user, channel, true, '*'),
    take: (sql, user, channel) => team(sql, user, channel, false, '*'),
  },
}

/** Channels that no token here lets anybody read, however its claims are read: names, and beginnings of names. */
const never = ['run-10', 'run-1-x', 'run', 'ru', 'admin-dashboard', 'user-somebody', 'job', 'jo']
const claims = [
  'admin-dashboard',
  'user-somebody',
  'run-1',
  'job-*',
  'user-*',
  'all-*',
  'admin-*',
  '*dashboard',
]

const rounds = 6
const seed = Number(process.env.SEED) || Math.floor(Math.random() * 2 ** 31)
/** A look-up takes a while, in which rights change. */
const settings = {
  CHANNELS_QUERY: 'select channel from public.teams, (select pg_sleep(0.01)) s where person = $1',
}

test(
  `no event comes with the loss of its right in one step (SEED=${seed})`,
  () => look(honestRelay(20_000)),
  60_000,
)

test(`nor when the relay lies (SEED=${seed})`, () => {
  const { next } = createRandom(seed)
  return look(lyingRelay(honestRelay(20_000), { random: next, share: 0.3 }))
}, 60_000)

/** All ways at the same time, on two instances of which one numbers. */
const look = async (relay: Relay) => {
  await using db = await database()
  await db.sql`create table public.teams (channel text, person text, primary key (channel, person))`
  // Nobody is woken by a change: it comes with the events that were committed with it.
  await db.sql.unsafe(silentTell)
  await using one = await serve(db, settings, { relay })
  await using two = await serve(db, settings, { relay })
  const leaks = Object.entries(ways).map(([name, way], n) =>
    tryWay(db, [one.url, two.url], way, `u${n}`).then(leaked => ({ [name]: leaked })),
  )
  const found = Object.assign({}, ...(await Promise.all(leaks)))
  expect(found).toEqual(Object.fromEntries(Object.keys(ways).map(name => [name, []])))
  await tryClaims(db, [one.url, two.url])
}

/** Gives the right, waits until both instances send, and takes it away. Resolves with what came all the same. */
const tryWay = async ({ sql }: TestDatabase, urls: string[], way: Way, user: string) => {
  const channel = way.channel(user)
  const own = `user-${user}`
  const query = way.query?.(user, channel) ?? ''
  const token = await tokenWith({ sub: user })
  const give = (n: number) =>
    commit(sql, inside => [...way.give(inside, user, channel), say(inside, channel, `given ${n}`)])
  await give(0)
  await using streams = new AsyncDisposableStack()
  const clients = await Promise.all(urls.map(url => openReady(url, { token, query })))
  for (const client of clients) streams.use(client)
  if (way.isAdded)
    await Promise.all(clients.map((client, n) => add(urls[n], client, token, channel)))
  const leaked: string[] = []
  for (let n = 1; n <= rounds; n++) {
    if (n > 1) await give(n)
    // Now and then it is taken while what was given is being looked up.
    const isQuick = n % 3 === 0
    if (!isQuick) {
      // A stream gets nothing of the transaction by which it came to a channel.
      await eventually(async () => {
        await commit(sql, inside => [say(inside, channel, `open ${n}`)])
        return clients.every(client => has(client, `open ${n}`))
      })
    }
    const secret = `secret ${n} of ${user}`
    const take = () =>
      commit(sql, inside => {
        const [first, then] = [[say(inside, channel, secret)], way.take(inside, user, channel)]
        return [
          ...(n % 2 ? [...then, ...first] : [...first, ...then]),
          say(inside, own, `end ${n}`),
        ]
      })
    const lastEventId = clients[0]?.lastEventId
    const comeBack = () =>
      openReady(urls[n % 2] ?? '', { token, ...(lastEventId && { lastEventId }) })
    // Another stream of the user is opened just then, or comes back afterwards.
    if (n % 2) await take()
    const [returning] = await Promise.all([comeBack(), n % 2 ? null : take()])
    await using _ = returning
    const all = [...clients, returning]
    await eventually(() => all.every(client => has(client, `end ${n}`)))
    all.forEach((client, at) => {
      if (has(client, secret)) leaked.push(`${secret}: ${['one', 'two', 'returning'][at]}`)
    })
  }
  return leaked
}

/** A claim that is a name is no beginning of names, and none gives what the names say themselves. */
const tryClaims = async ({ sql }: TestDatabase, urls: string[]) => {
  const token = await tokenWith({ sub: 'claimant', 'kairan:subscribe': claims })
  const query = `?also=${['run-1', 'job-7', ...never].join(',')}`
  const channels = [...never, 'run-1', 'job-7', 'user-claimant']
  for (const url of urls) {
    await using client = await openReady(url, { token, query })
    await commit(sql, inside => channels.map(channel => say(inside, channel, url)))
    // What is pending of the other one comes, too.
    const came = () => client.events.filter(({ payload }) => payload.text === url)
    await eventually(() => came().some(({ channel }) => channel === 'user-claimant'))
    expect(came().map(({ channel }) => channel)).toEqual(['run-1', 'job-7', 'user-claimant'])
  }
}

const has = ({ events }: Client, text: string) =>
  events.some(({ payload }) => payload.text === text)

const say = (sql: Sql, channel: string, text: string) =>
  sql`select kairan.publish(${channel}, ${sql.json({ text })})`

const commit = (sql: postgres.Sql, queries: (inside: postgres.TransactionSql) => Query[]) =>
  sql.begin(async inside => {
    for (const query of queries(inside)) await query
  })

const add = async (url: string | undefined, client: Client, token: string, channel: string) => {
  const { streamId } = await client.control('ready')
  const answer = await fetch(`${url}/notifications/stream/${streamId}/channels`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ add: [channel] }),
  })
  expect(answer.status).toBe(200)
}

const silentTell = `
  create or replace function kairan.tell(change jsonb) returns void language sql as
    'insert into kairan.user_changes (change) values (change)'`
