import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { TestDatabase } from '../support/database.ts'
import { migrated } from '../support/schema.ts'

const own = 'user-42'
const shared = ['org-1', 'org-2', 'all-users']

type Step =
  | { do: 'publish'; channels: string[]; count: number }
  | { do: 'join'; channel: string; by: '42' | '*'; since: 'join' | 'ever' }
  | { do: 'leave'; channel: string }
  | { do: 'arrive' }
  | { do: 'ids'; pick: number; read: boolean; only: string[] | null }
  | { do: 'upTo' | 'all'; pick: number; only: string[] | null }

const only = fc.option(fc.subarray([own, ...shared], { minLength: 1 }))
const pick = fc.nat(1000)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      channels: fc
        .subarray([own, ...shared, 'user-43'], { minLength: 1 })
        .chain(some => fc.shuffledSubarray(some, { minLength: some.length })),
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('join' as const),
      channel: fc.constantFrom('org-1', 'org-2'),
      by: fc.constantFrom('42' as const, '*' as const),
      since: fc.constantFrom('join' as const, 'ever' as const),
    }),
  },
  fc.record({ do: fc.constant('leave' as const), channel: fc.constantFrom('org-1', 'org-2') }),
  fc.constant<Step>({ do: 'arrive' }),
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('ids' as const), pick, read: fc.boolean(), only }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('upTo' as const, 'all' as const), pick, only }),
  },
)

type Row = { seq: number; channel: string; id: string }
type Member = { joined: number; since: 'join' | 'ever' }

/** What a user may see, position by position. */
const naive = (db: TestDatabase) => {
  const read = new Set<number>()
  const members = new Map<string, Member>()
  let arrived: number | null = null
  let log: Row[] = []

  const head = () => log.at(-1)?.seq ?? 0
  const memberships = (channel: string) =>
    (['42', '*'] as const).flatMap(by => {
      const member = members.get(`${channel} ${by}`)
      return member ? { by, ...member } : []
    })
  const mayRead = (channel: string) =>
    channel === own || channel === 'all-users' || memberships(channel).length > 0
  const channelsOf = (some: string[] | null) => (some ?? [own, ...shared]).filter(mayRead)
  const isShown = ({ channel, seq }: Row) =>
    !channel.startsWith('org-') ||
    memberships(channel).some(({ since, joined }) => since === 'ever' || seq > joined)
  const isOld = ({ channel, seq }: Row) => {
    if (channel === own) return false
    const arrival = arrived ?? head()
    const all = memberships(channel)
    if (all.length === 0) return seq <= arrival
    return all.every(({ by, joined }) => seq <= (by === '42' ? joined : Math.max(joined, arrival)))
  }
  /** Each notification once, as its first delivery that is shown. */
  const shown = (channels: string[]) => {
    const first = new Map<string, Row>()
    for (const row of log) {
      if (channels.includes(row.channel) && isShown(row) && !first.has(row.id))
        first.set(row.id, row)
    }
    return [...first.values()].toSorted((a, b) => b.seq - a.seq)
  }
  const isRead = (row: Row) => read.has(row.seq) || isOld(row)

  const mark = async (change: object, only: string[] | null) => {
    arrived ??= head()
    const all = channelsOf(null)
    const narrow = only && channelsOf(only)
    const [row] = await db.sql`
      select unread from kairan.mark_inbox('42', ${all}::text[], ${db.sql.json({ ...change })}, ${narrow}::text[], true)`
    return row?.unread
  }

  return {
    async take(step: Step) {
      const { sql } = db
      if (step.do === 'publish') {
        await sql`
          insert into kairan.notifications (channels, payload)
          select ${step.channels}::text[], '{}' from generate_series(1, ${step.count}::int)`
        await sql`select kairan.number()`
        log = await sql<Row[]>`
          select seq::int, channel, notification_id::text as id from kairan.deliveries order by seq`
      } else if (step.do === 'join') {
        const { channel, by, since } = step
        const key = `${channel} ${by}`
        if (members.has(key)) return
        members.set(key, { joined: head(), since })
        await sql`
          insert into kairan.members (channel, user_id, since)
          values (${channel}, ${by}, ${since === 'ever' ? '-infinity' : null}::text::timestamptz)`
      } else if (step.do === 'leave') {
        for (const by of ['42', '*']) members.delete(`${step.channel} ${by}`)
        await sql`delete from kairan.members where channel = ${step.channel}`
      } else if (step.do === 'arrive') {
        arrived ??= head()
        await sql`select kairan.arrive('42')`
      } else {
        const channels = channelsOf(step.only)
        const picked = log[step.pick % Math.max(log.length, 1)]
        if (!picked || channels.length === 0) return
        if (step.do === 'ids') {
          await mark({ ids: [picked.id], read: step.read }, step.only)
          for (const { id, seq, channel } of log) {
            if (id !== picked.id || !channels.includes(channel)) continue
            if (step.read) read.add(seq)
            else read.delete(seq)
          }
        } else {
          const upTo = step.do === 'all' ? Number.MAX_SAFE_INTEGER : picked.seq
          await mark({ upTo, ...(step.do === 'all' && { all: true }) }, step.only)
          for (const { seq, channel } of log) {
            if (seq <= upTo && (!step.only || channels.includes(channel))) read.add(seq)
          }
        }
      }
    },
    async expectSame(only: string[] | null, unreadOnly: boolean) {
      const channels = channelsOf(only)
      const all = shown(channels)
      const unread = all.filter(row => !isRead(row))
      const [page] = await db.sql`
        select seqs::int[], unread, is_new,
          array(select read @> s from unnest(seqs) with ordinality s (s, n) order by n) as read
        from kairan.inbox_page('42', ${channels}::text[], null, 1e15::bigint, ${unreadOnly}, false, 100, true)`
      const rows = (unreadOnly ? unread : all).slice(0, 100)
      expect(page).toEqual({
        seqs: rows.map(({ seq }) => seq),
        unread: unread.length,
        read: rows.map(isRead),
        is_new: arrived === null,
      })
    },
  }
}

test('shows a channel from the join on, counts what is older as read, and marks on some channels only', async () => {
  await using db = await migrated()
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), async steps => {
      await db.sql`delete from kairan.notifications`
      await db.sql`truncate kairan.inboxes, kairan.arrivals, kairan.members`
      await db.sql`update kairan.log_state set floor = (select head from kairan.log)`
      await db.sql`delete from kairan.numbered`
      const oracle = naive(db)
      // The log goes on: positions of an earlier run are behind.
      await oracle.take({ do: 'publish', channels: ['user-43'], count: 1 })
      for (const each of steps) {
        await oracle.take(each)
        for (const some of [null, [own], ['org-1', 'all-users'], ['org-2']]) {
          for (const unreadOnly of [false, true]) await oracle.expectSame(some, unreadOnly)
        }
      }
    }),
    { numRuns: Number(process.env.RUNS ?? 20) },
  )
}, 180_000)

test('a member sees what was published since a moment that the application says', async () => {
  await using db = await migrated()
  const { sql } = db
  for (const day of [1, 2, 3, 4]) {
    await sql`
      insert into kairan.notifications (channels, payload, created_at)
      values ('{doc-1}', ${sql.json({ day })}, ${new Date(Date.UTC(2020, 0, day))})`
  }
  await sql`select kairan.number()`
  await sql`insert into kairan.members (channel, user_id, since) values ('doc-1', '1', '2020-01-03')`
  const days = async () => {
    const rows = await sql<{ day: number }[]>`
      select (n.payload -> 'day')::int as day from kairan.inbox_page('1', '{doc-1}', null, 1000, false, false, 10) p
      cross join unnest(p.seqs) s (seq) join kairan.numbered d using (seq)
      join kairan.notifications n on n.id = d.notification_id order by seq`
    return rows.map(({ day }) => day).join()
  }
  expect(await days()).toBe('3,4')
  await sql`update kairan.members set since = '2020-01-02'`
  expect(await days()).toBe('2,3,4')
  await sql`update kairan.members set since = null`
  expect(await days()).toBe('')
  await sql`update kairan.members set since = '-infinity'`
  expect(await days()).toBe('1,2,3,4')
})

test('marks all that is unread on some channels, however much of it is newer and read', async () => {
  await using db = await migrated()
  const { sql } = db
  await sql`
    insert into kairan.notifications (channels, payload)
    select '{org-7}', '{}' from generate_series(1, 9400)`
  await sql`select kairan.number(10000)`
  const mark = async (change: object) => {
    const [row] = await sql`
      select unread from kairan.mark_inbox('42', '{user-42,org-7}', ${sql.json({ ...change })}, '{org-7}')`
    return row?.unread
  }
  // 9,000 at a time.
  expect(await mark({ all: true, upTo: Number.MAX_SAFE_INTEGER })).toBe(400)
  expect(await mark({ upTo: 100 })).toBe(300)
  expect(await mark({ all: true, upTo: Number.MAX_SAFE_INTEGER })).toBe(0)
  // Below the floor there is nothing to be marked.
  await sql`update kairan.log_state set floor = 500`
  expect(await mark({ upTo: 100 })).toBe(0)
})

test('thousands who join a channel together look through its log once', async () => {
  await using db = await migrated()
  const { sql } = db
  await sql`
    insert into kairan.notifications (channels, payload, created_at)
    select array['doc-' || (1 + n % 2)], '{}', timestamptz '2020-01-01Z' + n * interval '1 s' from generate_series(1, 40000) n`
  await sql`select kairan.number(50000)`
  const session = await sql.reserve()
  await session`set statement_timeout = '5s'`
  for (const [channel, second, shown] of [
    ['doc-1', 0, 0],
    ['doc-2', 10, 9],
    ['doc-1', 10, 8],
  ] as const) {
    // One after the other, 20,000 deliveries took each of them 4 ms.
    await session`
      insert into kairan.members (channel, user_id, since)
      select ${channel}, ${`at-${second}-`} || n, timestamptz '2020-01-01Z' + ${second} * interval '1 s'
      from generate_series(1, 3000) n`
    const rows = await session`
      select distinct shown_above::int as shown from kairan.members
      where channel = ${channel} and starts_with(user_id, ${`at-${second}-`})`
    expect([...rows]).toEqual([{ shown }])
  }
  await session`
    update kairan.members
    set since = timestamptz '2020-01-01Z' + case when user_id = 'at-10-1' then interval '5 s' else interval '7 s' end
    where user_id in ('at-10-1', 'at-10-2')`
  const moved = await session`
    select channel, user_id, shown_above::int as shown from kairan.members
    where user_id in ('at-10-1', 'at-10-2') order by 1, 2`
  expect(moved.map(({ shown }) => shown)).toEqual([4, 6, 3, 5])
  session.release()
})
