/**
 * No event of a channel is ever written to a stream that may not read it: random users, roles that change,
 * publishes and clients that come and go, on two instances whose LISTEN comes and goes. What the database
 * has committed, and when, is the oracle.
 */
import { expect, test } from 'bun:test'
import type postgres from 'postgres'
import type { Relay } from '../../src/relay/relay.ts'
import { createRandom, type Random } from '../faults/random.ts'
import { again, TooSlow } from '../support/again.ts'
import { type Client, open } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { freezeBackends } from '../support/frozen.ts'
import { honestRelay, lyingRelay } from '../support/lying-relay.ts'
import { metricOf } from '../support/metric.ts'
import { tokenWith } from '../support/publish.ts'
import { serve } from '../support/service.ts'

/** When something happened: it was committed after `from`, and before `to`. */
type Span = { from: number; to: number }
type Right = Span & { isGiven: boolean }
type Published = Span & { channels: string[] }
type Receipt = { user: string; channel: string; n: number; at: number; chain: number }

const users = ['a', 'b', 'c', 'd', 'e', 'f']
/** Channels with members, which change. */
const rooms = ['org-7', 'https://example.com/books/1']
/** Channels of which CHANNELS_QUERY says who reads them. */
const teams = ['team-1', 'team-2']
const settings = { CHANNELS_QUERY: 'select channel from public.teams where person = $1' }
/** Channels of which a token says who reads them: a by name, b by a beginning. */
const claims: Record<string, string[]> = { a: ['run-1'], b: ['run-*'] }

const seed = Number(process.env.SEED) || Math.floor(Math.random() * 2 ** 31)

test(
  `what a user may not read never reaches a stream (SEED=${seed})`,
  () => again(() => look(seed)),
  120_000,
)

test(`nor when the relay lies and two instances number (SEED=${seed})`, async () => {
  const relay = lyingRelay(honestRelay(2000), { random: createRandom(seed).next, share: 0.1 })
  await again(() => look(seed, relay))
  for (const lie of ['drop', 'repeat', 'delay', 'corrupt', 'truncate', 'old'] as const) {
    expect(relay.lies.told[lie]).toBeGreaterThan(0)
  }
}, 120_000)

/** Runs everything for a while, and compares all that was received with what the database has committed. */
const look = async (seed: number, relay?: Relay) => {
  const random = createRandom(seed)
  await using db = await database()
  const options = relay ? { relay } : {}
  // Nobody is woken by a change: it comes with the batch of an event, or by a look at the table.
  if (relay) await db.sql.unsafe(silentTell)
  await db.sql`create table public.teams (channel text, person text, primary key (channel, person))`
  await using one = await serve(db, settings, options)
  await using two = await serve(db, settings, options)
  const urls = [one.url, two.url]
  const roles = new Map(users.map(user => [user, [] as Right[]]))
  const members = new Map(
    rooms.flatMap(room => [...users, '*'].map(user => [`${room} ${user}`, [] as Right[]])),
  )
  const inTeams = new Map(
    teams.flatMap(team => users.map(user => [`${team} ${user}`, [] as Right[]])),
  )
  const published: Published[] = []
  const receipts: Receipt[] = []
  /** All is published: readers stay, and go on from the furthest that they have. */
  let isEnding = false
  let isOver = false

  const changeRoles = async () => {
    for (let n = 0; n < 150; n++) {
      const user = random.pick(users)
      const isAdmin = random.chance(0.5)
      const span = await committed(db.sql, random, sql => [
        sql`
          insert into kairan.roles values (${user}, ${isAdmin ? 100 : 99})
          on conflict (user_id) do update set role_level = excluded.role_level`,
        ...(random.chance(0.1) ? [sql`select kairan.disconnect(${user})`] : []),
      ])
      if (span) roles.get(user)?.push({ ...span, isGiven: isAdmin })
    }
  }

  /** The application's own table changes, and who did it says so. */
  const changeTeams = async () => {
    for (let n = 0; n < 100; n++) {
      const [team, user] = [random.pick(teams), random.pick(users)]
      const isJoin = random.chance(0.5)
      const span = await committed(db.sql, random, sql => [
        isJoin
          ? sql`insert into public.teams values (${team}, ${user}) on conflict do nothing`
          : sql`delete from public.teams where channel = ${team} and person = ${user}`,
        sql`select kairan.reauthorize(${random.chance(0.1) ? '*' : user})`,
      ])
      if (span) inTeams.get(`${team} ${user}`)?.push({ ...span, isGiven: isJoin })
    }
  }

  /** One user joins or leaves, or everybody; one row, all rows of a channel, or all there are. */
  const changeMembers = async () => {
    for (let n = 0; n < 150; n++) {
      const channel = random.pick(rooms)
      const isJoin = random.chance(0.5)
      const some = random.chance(0.3) ? users : [random.pick([...users, '*'])]
      const isEmptied = !isJoin && random.chance(0.2)
      const isTruncated = isEmptied && random.chance(0.7)
      const span = await committed(db.sql, random, sql => [
        isJoin
          ? sql`insert into kairan.members select ${channel}, u from unnest(${some}::text[]) u on conflict do nothing`
          : isTruncated
            ? sql`truncate kairan.members`
            : isEmptied
              ? sql`delete from kairan.members where channel = ${channel}`
              : sql`delete from kairan.members where channel = ${channel} and user_id = any(${some}::text[])`,
      ])
      if (!span) continue
      // Long enough for events that nobody may read then.
      if (isTruncated) await db.sql`select pg_sleep(0.2)`
      const concerned = isEmptied ? [...users, '*'] : some
      for (const name of isTruncated ? rooms : [channel]) {
        for (const user of concerned)
          members.get(`${name} ${user}`)?.push({ ...span, isGiven: isJoin })
      }
    }
  }

  const publish = async () => {
    for (let n = 0; n < 200; n++) {
      const channels = [
        'admin-dashboard',
        'all-users',
        ...rooms,
        ...teams,
        'run-1',
        'run-2',
        ...users.map(user => `user-${user}`),
      ].filter(channel =>
        random.chance([...rooms, ...teams, 'admin-dashboard'].includes(channel) ? 0.8 : 0.2),
      )
      if (channels.length === 0) continue
      const place = published.push({ channels, from: Infinity, to: Infinity }) - 1
      const span = await committed(db.sql, random, sql => [
        sql`select kairan.publish(${channels}::text[], ${sql.json({ n: place })})`,
      ])
      published[place] = { channels, ...(span ?? { from: Infinity, to: Infinity }) }
    }
  }

  /** Streams one after the other, each where the one before ended, or somewhere earlier. */
  const read = async (user: string, chain: number) => {
    const token = await tokenWith({ sub: user, 'kairan:subscribe': claims[user] ?? ['user-*'] })
    const cursors: string[] = []
    while (!isOver) {
      const isLast = isEnding
      const lastEventId = isLast
        ? cursors.toSorted((a, b) => seqOf(a) - seqOf(b)).at(-1)
        : random.chance(0.8)
          ? cursors.at(-1)
          : random.pick([...cursors, null])
      const isNarrowed = random.chance(0.2)
      const more = user === 'b' ? ',run-1,run-2' : ''
      await using client = await open(random.pick(urls), {
        token,
        ...(lastEventId ? { lastEventId } : {}),
        // What may not be read of these is left out.
        query: isNarrowed
          ? `?channels=all-users,user-${user}${more}`
          : random.chance(0.3)
            ? '?also=run-1,run-2,org-7,team-1,user-a,admin-dashboard'
            : '',
      })
      const stay = random.integer(1, 40)
      const isEnough = () => (isEnding || client.events.length >= stay) && !isLast
      await collect(client, receipts, { user, chain }, () => isOver || isEnough())
      cursors.push(...client.received.flatMap(({ id }) => id ?? []))
    }
  }

  /** Neither the service nor Postgres is told that nobody listens. */
  const deafen = async () => {
    while (!isOver) {
      const rows = await db.sql<{ pid: number }[]>`
        select pid from pg_stat_activity
        where application_name = 'kairan listener' and datname = current_database()`
      const pids = rows.map(({ pid }) => pid).filter(() => random.chance(0.5))
      {
        // The service may have given one up in the meantime.
        using _ = await freezeBackends(db.sql, pids).catch(() => null)
        await db.sql`select pg_sleep(${random.between(0.05, 1.5)})`
      }
      await db.sql`select pg_sleep(${random.between(0, 0.5)})`
    }
  }

  /** The other instance takes the lease; the one that had it believes for a while that it still has it. */
  const depose = async () => {
    while (!isOver) {
      await db.sql`select setval('kairan.led_until', 1), pg_sleep(${random.between(0, 0.4)})`
    }
  }

  const work = async () => {
    await Promise.all([
      changeRoles(),
      changeMembers(),
      changeTeams(),
      publish(),
      publish(),
      publish(),
    ])
    // Everybody hears of the end before they stop: also who has no cursor, and gets only what comes from now on.
    isEnding = true
    await eventually(async () => {
      await db.sql`select kairan.publish('all-users', '{"n": -1}'), pg_sleep(0.1)`
      return users.every(user => receipts.some(r => r.user === user && r.n === -1))
    })
    isOver = true
  }
  const reading = users.flatMap(user => [1, 2].map(chain => read(user, chain)))
  await Promise.all([work(), deafen(), ...(relay ? [depose()] : []), ...reading])

  const wrong = receipts.filter(receipt => {
    if (receipt.n === -1 || receipt.channel === 'all-users') return false
    const { channel, user, at } = receipt
    if (channel === 'run-1') return user !== 'a' && user !== 'b'
    if (channel === 'run-2') return user !== 'b'
    const had = (rights: Right[] = []) => hadRight(rights, published[receipt.n]?.from ?? 0, at)
    if (channel === 'admin-dashboard') return !had(roles.get(user))
    if (teams.includes(channel)) return !had(inTeams.get(`${channel} ${user}`))
    if (!rooms.includes(channel)) return channel !== `user-${user}`
    return !had(members.get(`${channel} ${user}`)) && !had(members.get(`${channel} *`))
  })
  expect(wrong).toEqual([])
  expect(receipts.filter(({ n }) => published[n]?.to === Infinity)).toEqual([])
  // It was worth looking: many were read by those who may, and kept from those who may not.
  const admin = receipts.filter(({ channel }) => channel === 'admin-dashboard')
  expect(admin.length).toBeGreaterThan(200)
  const inRooms = receipts.filter(({ channel }) => rooms.includes(channel))
  expect(inRooms.length).toBeGreaterThan(200)
  expect(receipts.filter(({ channel }) => teams.includes(channel)).length).toBeGreaterThan(100)
  expect(receipts.filter(({ channel }) => channel.startsWith('run-')).length).toBeGreaterThan(20)
  expect([...roles.values()].flat().filter(({ isGiven }) => !isGiven).length).toBeGreaterThan(30)
  // By the relay and from the table: both ways were taken.
  for (const from of ['relay', 'table']) {
    const count = await receivedFrom(urls, from)
    // A machine that is slow at the wrong moment leaves one way unused: then it has to be seen again.
    if (!(count > 5)) throw new TooSlow(`Only ${count} events came from the ${from}.`)
  }
}

const silentTell = `
  create or replace function kairan.tell(change jsonb) returns void language sql as
    'insert into kairan.user_changes (change) values (change)'`

/** How many events the instances got this way. */
const receivedFrom = async (urls: string[], from: string) => {
  const name = `kairan_events_received_total{from="${from}"}`
  const counts = await Promise.all(urls.map(url => metricOf({ url }, name)))
  return counts.reduce((sum, count) => sum + count)
}

const seqOf = (cursor: string) => Number(cursor.split('-')[1])

/** Whether somebody may have had a right at some moment of these. Until the first change nobody has. */
const hadRight = (rights: Right[], from: number, to: number) => {
  const later = rights.filter(right => right.isGiven && right.from <= to && right.to >= from)
  const before = rights.findLast(right => right.to < from)
  return later.length > 0 || before?.isGiven === true
}

/** Commits some statements, after a pause, and tells when; null when they are rolled back. */
const committed = async (
  sql: postgres.Sql,
  random: Random,
  statements: (sql: postgres.TransactionSql) => postgres.PendingQuery<postgres.Row[]>[],
): Promise<Span | null> => {
  const pause = random.chance(0.3) ? random.between(0, 0.05) : 0
  const isRolledBack = random.chance(0.1)
  const rolledBack = new Error('rolled back')
  let from = 0
  try {
    await sql.begin(async inside => {
      for (const statement of statements(inside)) await statement
      await inside`select pg_sleep(${pause})`
      if (isRolledBack) throw rolledBack
      from = performance.now()
    })
    return { from, to: performance.now() }
  } catch (error) {
    if (error === rolledBack) return null
    throw error
  }
}

/** Writes down what comes, until it is enough or the stream ends. */
const collect = async (
  client: Client,
  receipts: Receipt[],
  who: { user: string; chain: number },
  isEnough: () => boolean,
) => {
  let read = 0
  const note = () => {
    for (const { channel, payload } of client.events.slice(read)) {
      receipts.push({ ...who, channel, n: Number(payload.n), at: performance.now() })
    }
    read = client.events.length
  }
  await eventually(() => {
    note()
    return client.ended || isEnough()
  }, 60_000)
  note()
}
