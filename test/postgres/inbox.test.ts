import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { TestDatabase } from '../support/database.ts'
import { migrated } from '../support/schema.ts'

const own = 'user-42'
const everyone = 'all-users'
const admins = 'admin-dashboard'

type Step =
  | { do: 'publish'; channels: string[]; type: string; count: number; until: number | null }
  | { do: 'others'; count: number }
  | { do: 'mark'; picks: number[]; read: boolean }
  | { do: 'upTo'; pick: number }
  | { do: 'all' }
  | { do: 'role' }
  | { do: 'join' }
  | { do: 'seen'; pick: number }
  | { do: 'archive'; picks: number[]; archived: boolean }
  | { do: 'mute'; types: string[]; channels: string[] }
  | { do: 'expire' | 'withdraw' | 'delete' | 'redeliver' | 'settle' | 'retain'; pick: number }

const pick = fc.nat(1000)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      channels: fc
        .subarray([own, everyone, admins, 'org-7', 'user-43'], { minLength: 1 })
        .chain(some => fc.shuffledSubarray(some, { minLength: some.length })),
      type: fc.constantFrom('a', 'b', 'b.x'),
      count: fc.integer({ min: 1, max: 20 }),
      // The year in which they expire.
      until: fc.option(fc.integer({ min: 2090, max: 2099 })),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('mark' as const),
      picks: fc.array(pick, { minLength: 1, maxLength: 5 }),
      read: fc.boolean(),
    }),
  },
  // Of so many the inbox goes along the channels, of fewer along the log.
  fc.record({ do: fc.constant('others' as const), count: fc.constantFrom(20, 300) }),
  fc.record({ do: fc.constantFrom('upTo' as const, 'seen' as const), pick }),
  fc.constantFrom<Step>({ do: 'all' }, { do: 'role' }, { do: 'join' }),
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('archive' as const),
      picks: fc.array(pick, { minLength: 1, maxLength: 5 }),
      archived: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('mute' as const),
      types: fc.subarray(['a', 'b.*', 'b', 'b.%', 'c'], { maxLength: 2 }),
      channels: fc.subarray([everyone, 'org-7'], { maxLength: 1 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'expire' as const,
        'withdraw' as const,
        'delete' as const,
        'redeliver' as const,
        'settle' as const,
        'retain' as const,
      ),
      pick,
    }),
  },
)

type Row = {
  seq: number
  channel: string
  id: string
  type: string
  expired: boolean
  until: number | null
}

const counts = ({ sql }: TestDatabase) => sql`
  unread, unseen, is_least, is_unseen_least, coalesce(extract(year from expires_at)::int, 9999) as until`

/** The log, and beside it which of its positions were read and archived, kept one by one. */
const naive = (db: TestDatabase) => {
  const read = new Set<number>()
  const archived = new Set<number>()
  let seen = 0
  let muted = { types: [] as string[], channels: [] as string[] }
  let channels = [own, everyone]
  let floor = 0
  let log: Row[] = []
  /** What the mark that was made last has answered. */
  let answer: unknown

  const load = async () => {
    log = await db.sql<Row[]>`
      select d.seq::int, d.channel, n.id::text, n.type, coalesce(n.expires_at <= now(), false) as expired,
        case when isfinite(n.expires_at) then extract(year from n.expires_at)::int end as until
      from kairan.deliveries d join kairan.notifications n on n.id = d.notification_id
      where d.seq > (select l.floor from kairan.log l) and d.channel <> 'user-99' order by d.seq`
    const [row] = await db.sql`select floor::int from kairan.log`
    floor = row?.floor
  }
  const at = (index: number) => log[index % Math.max(log.length, 1)]
  const markIn = (change: object) =>
    db.sql`
      select ${counts(db)} from kairan.mark_inbox('42', ${channels}::text[], ${db.sql.json({ ...change })})`

  const toggle = (name: string) => {
    channels = channels.includes(name) ? channels.filter(n => n !== name) : [...channels, name]
  }

  const isMuted = ({ type }: Row) =>
    muted.types.some(of => (of.endsWith('*') ? type.startsWith(of.slice(0, -1)) : type === of))

  /** What there is to show: each notification once, as its first delivery that can be read. */
  const visible = () => {
    const first = new Map<string, Row>()
    for (const row of log) {
      const isOpen = channels.includes(row.channel) && !muted.channels.includes(row.channel)
      if (row.seq > floor && isOpen && !first.has(row.id)) first.set(row.id, row)
    }
    return [...first.values()]
      .filter(row => !row.expired && !isMuted(row))
      .toSorted((a, b) => b.seq - a.seq)
  }

  return {
    isRead: ({ seq }: Row) => read.has(seq),
    isSeen: ({ seq }: Row) => seq <= seen,
    answer: () => answer,
    async take(step: Step) {
      const { sql } = db
      answer = null
      if (step.do === 'publish') {
        await sql`
          insert into kairan.notifications (channels, payload, type, expires_at)
          select ${step.channels}::text[], '{}', ${step.type}, make_timestamptz(${step.until}::int, 7, 1, 0, 0, 0) from generate_series(1, ${step.count}::int)`
      } else if (step.do === 'others') {
        await sql`
          insert into kairan.notifications (channels, payload)
          select '{user-99}', '{}' from generate_series(1, ${step.count}::int)`
      } else if (step.do === 'role') {
        toggle(admins)
      } else if (step.do === 'join') {
        toggle('org-7')
      } else if (step.do === 'all') {
        answer = await markIn({ all: true, upTo: 1e15 })
        for (const { seq } of log) read.add(seq)
      } else if (step.do === 'upTo') {
        const upTo = at(step.pick)?.seq ?? 0
        answer = await markIn({ upTo })
        for (const { seq } of log) if (seq <= upTo) read.add(seq)
      } else if (step.do === 'seen') {
        const upTo = at(step.pick)?.seq ?? 0
        answer = await markIn({ seen: true, upTo })
        seen = Math.max(seen, upTo)
      } else if (step.do === 'mute') {
        muted = step
        const mutes = [
          ...step.types.map(type => ({ type })),
          ...step.channels.map(channel => ({ channel })),
        ]
        await sql`select kairan.set_mutes('42', ${sql.json(mutes)})`
      } else if (step.do === 'mark' || step.do === 'archive') {
        const ids = [
          ...new Set(step.picks.map(index => at(index)?.id).filter(id => id !== undefined)),
        ]
        const isRead = step.do === 'mark'
        const is = isRead ? step.read : step.archived
        answer = await markIn(isRead ? { ids, read: is } : { ids, archived: is })
        const marked = isRead ? read : archived
        for (const { seq, id, channel } of log) {
          if (!ids.includes(id) || !channels.includes(channel)) continue
          if (is) marked.add(seq)
          else marked.delete(seq)
        }
      } else if (step.do === 'retain') {
        const upTo = at(Math.floor(step.pick / 4))?.seq ?? 0
        await sql`update kairan.numbered set created_at = now() - interval '1 day' where seq <= ${upTo}`
        await sql`select kairan.raise_floor('1 hour')`
        if (step.pick % 2 === 0) await sql`select kairan.prune(), kairan.prune_inbox()`
      } else {
        const id = at(step.pick)?.id ?? null
        if (step.do === 'expire')
          await sql`update kairan.notifications set expires_at = now() where id = ${id}`
        if (step.do === 'withdraw') await sql`select kairan.withdraw(${id}::uuid)`
        if (step.do === 'delete') await sql`delete from kairan.notifications where id = ${id}`
        // On one of its channels, or on all.
        const channel = step.pick % 2 === 0 ? null : (at(step.pick)?.channel ?? null)
        if (step.do === 'redeliver') await sql`select kairan.redeliver(${id}::uuid, ${channel})`
        if (step.do === 'settle') await sql`select kairan.settle()`
      }
      await sql`select kairan.number()`
      await load()
    },
    shown: (ofArchive: boolean) => visible().filter(({ seq }) => archived.has(seq) === ofArchive),
    page: async (types: string[] | null, unreadOnly: boolean, ofArchive: boolean) => {
      const [page] = await db.sql`
        select seqs::int[], ${counts(db)},
          array(select read @> s from unnest(seqs) with ordinality s (s, n) order by n) as read
        from kairan.inbox_page('42', ${channels}::text[], ${types}::text[], ${1e15}, ${unreadOnly}, ${ofArchive}, 100)`
      return page
    },
  }
}

test('agrees with a naive inbox, whatever is done in whatever order', async () => {
  await using db = await migrated()
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), async steps => {
      await db.sql`delete from kairan.notifications`
      await db.sql`truncate kairan.inboxes, kairan.mutes`
      await db.sql`update kairan.log_state set floor = (select head from kairan.log)`
      const oracle = naive(db)
      for (const each of steps) {
        await oracle.take(each)
        const unread = oracle.shown(false).filter(row => !oracle.isRead(row))
        const unseen = unread.filter(row => !oracle.isSeen(row))
        for (const [types, unreadOnly, ofArchive] of [
          [null, false, false],
          [null, true, false],
          [['b'], false, false],
          [['a', 'c'], true, false],
          [null, false, true],
          [['b'], true, true],
        ] as const) {
          const rows = oracle
            .shown(ofArchive)
            .filter(row => !unreadOnly || !oracle.isRead(row))
            .filter(({ type }) => types === null || (types as readonly string[]).includes(type))
            .slice(0, 100)
          const found = {
            unread: unread.length,
            unseen: unseen.length,
            is_least: false,
            is_unseen_least: false,
            until: Math.min(9999, ...unread.map(row => row.until ?? 9999)),
          }
          if (oracle.answer()) expect(oracle.answer()).toEqual([found])
          expect(
            await oracle.page(types === null ? null : [...types], unreadOnly, ofArchive),
          ).toEqual({
            seqs: rows.map(({ seq }) => seq),
            read: rows.map(oracle.isRead),
            ...found,
          })
        }
      }
    }),
    { numRuns: Number(process.env.RUNS ?? 25) },
  )
}, 180_000)

test('stays exact where read and unread alternate, and keeps so many stretches at the most', async () => {
  await using db = await migrated()
  const { sql } = db
  await sql`
    insert into kairan.notifications (channels, payload)
    select '{user-42}', '{}' from generate_series(1, 25000)`
  await sql`select kairan.number(25000)`
  const page = async () => {
    const [row] = await sql`
      select unread, is_least, cardinality(seqs) as found
      from kairan.inbox_page('42', '{user-42}', null, 1000000, true, false, 100)`
    return row
  }
  const fragments = async (every: number) => {
    await sql`delete from kairan.inboxes`
    await sql`
      insert into kairan.inboxes (user_id, read)
      select '42', '{[0,25001)}'::int8multirange - range_agg(int8range(n, n + 1))
      from generate_series(1, 25000, ${every}::int) n`
  }
  await fragments(50)
  expect(await page()).toEqual({ unread: 500, is_least: false, found: 100 })
  await fragments(26)
  expect(await page()).toEqual({ unread: 962, is_least: false, found: 100 })
  await fragments(2)
  expect(await page()).toEqual({ unread: 1000, is_least: true, found: 100 })
  await sql`select kairan.mark_inbox('42', '{user-42}', '{"upTo": 1}')`
  const [row] = await sql`select cardinality(array(select unnest(read))) as n from kairan.inboxes`
  expect(row?.n).toBeWithin(9000, 10_001)
})

test('reads exactly the newest of hundreds of channels, however unevenly they are filled', async () => {
  await using db = await migrated()
  const { sql } = db
  // Of 300 channels one has a third of all, a few have runs, and most have some.
  await sql`
    insert into kairan.notifications (channels, payload, type)
    select case
        when n % 3 = 0 then '{org-0}'::text[]
        when n between 1500 and 1700 then array['org-' || (1 + n % 3)]
        when n % 50 = 7 then array['org-' || (n % 300), 'org-' || ((n + 1) % 300)]
        else array['org-' || (hashint4(n) & 255)]
      end, '{}', case when n % 5 < 2 then 't' || n % 5 end
    from generate_series(1, 4000) n order by n`
  await sql`select kairan.number(10000)`
  const channels = Array.from({ length: 300 }, (_, n) => `org-${n}`)
  for (const types of [null, ['t0', 't1']]) {
    const given = types === null ? null : sql.array(types)
    const shown = await sql<{ seq: number }[]>`
      select min(d.seq)::int as seq
      from kairan.numbered d
      where d.channel = any(${channels}) and (${given}::text[] is null or d.type = any(${given}))
      group by d.notification_id order by 1 desc`
    const pages: number[] = []
    for (let before: number | null = 1_000_000; before !== null; ) {
      const [page]: { seqs: string[]; next: string | null }[] = await sql`
        select seqs, next from kairan.inbox_page('1', ${channels}, ${given}, ${before}, false, false, 397)`
      pages.push(...(page?.seqs ?? []).map(Number))
      before = page?.next == null ? null : Number(page.next)
    }
    expect(pages).toEqual(shown.map(({ seq }) => seq))
    expect(pages.length).toBeGreaterThan(1500)
  }
})
