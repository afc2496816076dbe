import { expect, test } from 'bun:test'
import type { TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { login } from '../support/logins.ts'
import { migrated } from '../support/schema.ts'

/** Publishes, and numbers what was published. */
const publish = async ({ sql }: TestDatabase, user: string, n: number, after = '1 hour') => {
  const [row] = await sql<{ id: string }[]>`
    select kairan.publish(${`user-${user}`}, ${sql.json({ n })}, 'order.shipped', follow_up_after => ${after}::text::interval) as id`
  await sql`select from kairan.number()`
  return row?.id ?? ''
}

/** Makes all that waits due, as time would. */
const due = ({ sql }: TestDatabase) =>
  sql`update kairan.follow_up_due set due_at = now() - interval '1 second'`

const decide = async ({ sql }: TestDatabase) => {
  const [row] = await sql<{ looked: number; made: number }[]>`
    select looked, made from kairan.decide_follow_ups()`
  return row
}

const waiting = async ({ sql }: TestDatabase) =>
  (await sql<{ user: string }[]>`select user_id as user from kairan.follow_up_due order by 1`).map(
    ({ user }) => user,
  )

const followUps = async ({ sql }: TestDatabase) =>
  (
    await sql<{ pair: string }[]>`
      select user_id || ':' || (payload ->> 'n') as pair from kairan.follow_ups order by 1`
  ).map(({ pair }) => pair)

type Taken = { id: number; attempts: number; error: string | null; payload: { n: number } }

const take = async ({ sql }: Pick<TestDatabase, 'sql'>, n = 10, back = '5 minutes') =>
  [
    ...(await sql<Taken[]>`
      select id::int, attempts, error, payload from kairan.take_follow_ups(${n}, ${back}::text::interval)`),
  ] as const

test('what was not received is followed up at its time, once; without follow_up_after nothing is', async () => {
  await using db = await migrated()
  const id = await publish(db, '1', 1)
  await db.sql`select kairan.publish('user-1', '{"n": 2}')`
  await db.sql`select kairan.publish('{user-3,user-4}'::text[], '{"n": 3}', follow_up_after => '1 hour')`
  await db.sql`select from kairan.number()`
  expect(await waiting(db)).toEqual(['1', '3', '4'])
  expect(await decide(db)).toEqual({ looked: 0, made: 0 })
  await due(db)
  expect(await decide(db)).toEqual({ looked: 3, made: 3 })
  expect(await decide(db)).toEqual({ looked: 0, made: 0 })
  expect(await followUps(db)).toEqual(['1:1', '3:3', '4:3'])
  // Delivering it again is no reason to follow it up again.
  await db.sql`select kairan.redeliver(${id}::uuid)`
  await db.sql`select from kairan.number()`
  expect(await waiting(db)).toEqual([])
  const [row] = await db.sql`
    select notification_id, channel, type, attempts, finished_at, error from kairan.follow_ups where user_id = '1'`
  expect({ ...row }).toEqual({
    notification_id: id,
    channel: 'user-1',
    type: 'order.shipped',
    attempts: 0,
    finished_at: null,
    error: null,
  })
})

const received: Record<string, (db: TestDatabase, id: string) => Promise<unknown>> = {
  'a receipt': ({ sql }, id) => sql`select kairan.confirm('1', '{user-1}', ${sql.json([id])})`,
  'a cursor with which the client returned': ({ sql }) => sql`
    select kairan.record_unconfirmed(${sql.json([
      { userId: '1', channels: ['user-1'], pending: [], since: 0, seq: 1 },
      { userId: '1', seq: 1, since: 1 },
    ])})`,
  'a mark as read': ({ sql }, id) =>
    sql`select kairan.mark_inbox('1', '{user-1}', ${sql.json({ ids: [id] })})`,
  'a mark as seen': ({ sql }) =>
    sql`select kairan.mark_inbox('1', '{user-1}', '{"seen": true, "upTo": 1}')`,
  'a mark as archived': ({ sql }, id) =>
    sql`select kairan.mark_inbox('1', '{user-1}', ${sql.json({ ids: [id], archived: true })})`,
  'a mark of all': ({ sql }) =>
    sql`select kairan.mark_inbox('1', '{user-1}', '{"all": true, "upTo": 1}')`,
}

for (const [name, receive] of Object.entries(received)) {
  test(`${name} before its time is the end of it; one of another user is not`, async () => {
    await using db = await migrated()
    const id = await publish(db, '1', 1)
    await publish(db, '2', 2)
    await receive(db, id)
    expect(await waiting(db)).toEqual(['2'])
    await due(db)
    await decide(db)
    expect(await followUps(db)).toEqual(['2:2'])
  })

  test(`${name} that is not known when its row is removed is found when it is decided`, async () => {
    await using db = await migrated()
    const id = await publish(db, '1', 1)
    const [row] = await db.sql`select * from kairan.follow_up_due`
    await receive(db, id)
    await db.sql`insert into kairan.follow_up_due ${db.sql(row ?? {})}`
    await due(db)
    expect(await decide(db)).toEqual({ looked: 1, made: 0 })
  })

  test(`${name} that is being written when it is due: nobody waits, and the one that commits counts`, async () => {
    await using db = await migrated()
    const id = await publish(db, '1', 1)
    await due(db)
    const tx = await db.sql.reserve()
    for (const end of ['rollback', 'commit']) {
      await tx`begin`
      await receive({ ...db, sql: tx }, id)
      expect(await decide(db)).toEqual({ looked: 0, made: 0 })
      await tx.unsafe(end)
      if (end === 'rollback') expect(await waiting(db)).toEqual(['1'])
    }
    tx.release()
    expect(await decide(db)).toEqual({ looked: 0, made: 0 })
    expect(await followUps(db)).toEqual([])
  })
}

test('what is withdrawn or expired is not followed up, nor taken when that happens later', async () => {
  await using db = await migrated()
  const { sql } = db
  const ids = []
  for (const n of [1, 2, 3]) ids.push(await publish(db, '1', n))
  await sql`select kairan.publish('user-1', '{"n": 4}', expires_at => now() + interval '1 hour', follow_up_after => '1 second')`
  await sql`select from kairan.number()`
  await sql`select kairan.withdraw(${ids[0] ?? ''}::uuid)`
  await due(db)
  await sql`update kairan.notifications set expires_at = now() where id = ${ids[1] ?? ''}::uuid`
  expect(await decide(db)).toEqual({ looked: 3, made: 2 })
  expect(await followUps(db)).toEqual(['1:3', '1:4'])
  await sql`select kairan.withdraw(${ids[2] ?? ''}::uuid)`
  await sql`update kairan.notifications set expires_at = now() where payload = '{"n": 4}'`
  expect(await take(db)).toEqual([])
  const rows =
    await sql`select error, finished_at is not null as finished from kairan.follow_ups order by id`
  expect([...rows]).toEqual([
    { error: 'withdrawn', finished: true },
    { error: 'expired', finished: true },
  ])
})

test('what the user has muted when it is due is not followed up', async () => {
  await using db = await migrated()
  for (const user of ['1', '2', '3']) await publish(db, user, Number(user))
  await db.sql`
    insert into kairan.mutes (user_id, type, until)
    values ('1', 'order.*', null), ('2', 'order.*', now() - interval '1 second'), ('3', 'news', null)`
  await due(db)
  await decide(db)
  expect(await followUps(db)).toEqual(['2:2', '3:3'])
})

test('withdrawing waits for a decision about it, and takes back what was decided', async () => {
  await using db = await migrated()
  const id = await publish(db, '1', 1)
  await due(db)
  const withdrawn = Promise.withResolvers<unknown>()
  await db.sql.begin(async tx => {
    await tx`select kairan.decide_follow_ups()`
    withdrawn.resolve(db.sql`select kairan.withdraw(${id}::uuid)`.then(rows => rows))
    await eventually(async () => {
      const rows = await db.sql`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      return rows.length > 0
    })
  })
  await withdrawn.promise
  const rows = await db.sql`select error from kairan.follow_ups`
  expect([...rows]).toEqual([{ error: 'withdrawn' }])
})

test('two that decide at the same time decide about different ones', async () => {
  await using db = await migrated()
  for (const n of [1, 2]) await publish(db, String(n), n)
  await due(db)
  await db.sql.begin(async tx => {
    await tx`select kairan.decide_follow_ups(most => 1)`
    expect(await decide(db)).toEqual({ looked: 1, made: 1 })
  })
  expect(await followUps(db)).toEqual(['1:1', '2:2'])
})

test('a receipt that was written before its time is never later than a follow-up', async () => {
  await using db = await migrated()
  const users = Array.from({ length: 100 }, (_, n) => n)
  await db.sql`
    select kairan.publish('user-' || u, '{"n": 1}', follow_up_after => '1 hour') from generate_series(0, 99) u`
  await db.sql`select from kairan.number()`
  const ids = new Map(
    (await db.sql`select substr(channels[1], 6) as u, id from kairan.notifications`).map(row => [
      row.u,
      row.id,
    ]),
  )
  let done = false
  // The others wait for a connection.
  const own = await db.sql.reserve()
  const deciding = (async () => {
    while (!done) await decide({ ...db, sql: own })
    own.release()
  })()
  await Promise.all(
    users.map(async user => {
      // Some are received at once, whatever the load; most of them about when they are due.
      const within = user < 10 ? '1 minute' : '400 milliseconds'
      await db.sql`
        update kairan.follow_up_due set due_at = clock_timestamp() + ${within}::text::interval
        where user_id = ${String(user)}`
      if (user >= 10) await db.sql`select pg_sleep(random())`
      await db.sql`select kairan.confirm(${String(user)}, ${[`user-${user}`]}, ${db.sql.json([ids.get(String(user))])})`
    }),
  )
  done = true
  await deciding
  const early = await db.sql`
    select f.user_id from kairan.follow_ups f join kairan.receipts r using (user_id) where r.confirmed_at < f.due_at`
  expect([...early]).toEqual([])
  const missing = await db.sql`
    select r.user_id from kairan.receipts r left join kairan.follow_ups f using (user_id) where f.id is null`
  expect(missing.length).toBeGreaterThan(0)
  const [made] = await db.sql`select count(*)::int as n from kairan.follow_ups`
  expect(made?.n).toBeGreaterThan(0)
})

test('it is refused for other channels and for times that are none, in words', async () => {
  await using db = await migrated()
  const attempt = (channels: string, after: string) =>
    db.sql`select kairan.publish(${channels}::text::text[], '{}', follow_up_after => ${after}::text::interval)`.then(
      () => null,
      error => `${error.message} ${error.hint}`,
    )
  expect(await attempt('{user-1,all-users}', '5 minutes')).toBe(
    'kairan: there are no follow-ups on the channel "all-users" Only what is on channels of users can be followed up: publish it on user-{user id}, or leave follow_up_after out.',
  )
  for (const after of ['0', '-1 hour', '31 days', '500 milliseconds']) {
    expect(await attempt('{user-1}', after)).toContain('not 1 second to 30 days')
  }
  expect(await attempt('{user-1}', '30 days')).toBeNull()
  const later = db.sql`
    insert into kairan.scheduled (channels, payload, send_at, follow_up_after)
    values ('{org-7}', '{}', now() + interval '1 day', '5 minutes')`
  expect(await later.catch(error => error.message)).toContain('there are no follow-ups')
})

test('what was scheduled is followed up counted from when it was sent', async () => {
  await using db = await migrated()
  await db.sql`
    select kairan.publish('user-1', '{"n": 1}', send_at => now() + interval '1 hour', follow_up_after => '5 minutes')`
  await db.sql`update kairan.scheduled set send_at = now()`
  await db.sql`select kairan.send_due()`
  await db.sql`select from kairan.number()`
  const [row] = await db.sql`
    select due_at - now() > interval '4 minutes' as later from kairan.follow_up_due where user_id = '1'`
  expect(row?.later).toBe(true)
})

test('what came from another cluster is followed up, too', async () => {
  await using db = await migrated()
  await db.sql`select kairan.publish('user-1', '{"n": 1}', follow_up_after => '5 minutes')`
  await db.sql`update kairan.log_state set cluster = 'other', server_started = now() - interval '1 day'`
  await db.sql`select from kairan.number()`
  await db.sql`select from kairan.number()`
  expect(await waiting(db)).toEqual(['1'])
})

for (const isTakeover of [false, true]) {
  test(`numbering waits for nobody who removes what an earlier notification of the same id has waiting${isTakeover ? ', in another cluster' : ''}`, async () => {
    await using db = await migrated()
    const id = await publish(db, '1', 1)
    await db.sql`delete from kairan.notifications`
    const holder = await db.sql.reserve()
    await holder`begin`
    await holder`select kairan.withdraw(${id})`
    await db.sql`
      insert into kairan.notifications (id, channels, payload, follow_up_after)
      values (${id}, '{user-1}', '{}', '1 hour')`
    if (isTakeover)
      await db.sql`update kairan.log_state set cluster = 'other', server_started = now() - interval '1 day'`
    // It ends a test that has failed.
    for (let call = 0; call < 2; call++)
      await db.sql.begin(async tx => {
        await tx`set local statement_timeout = '5s'`
        await tx`select from kairan.number()`
      })
    expect(await db.sql`select from kairan.numbered`).toHaveLength(1)
    await holder`rollback`
    holder.release()
  })
}

test('each is taken by one, given back after its time, and finished once', async () => {
  await using db = await migrated()
  for (const n of [1, 2, 3]) await publish(db, '1', n)
  await due(db)
  await decide(db)
  const tx = await db.sql.reserve()
  await tx`begin`
  const [own] = await take({ sql: tx }, 1)
  const others = await take(db)
  await tx`commit`
  tx.release()
  expect(own?.payload.n).toBe(1)
  expect(others.map(({ payload }) => payload.n)).toEqual([2, 3])
  expect(await take(db)).toEqual([])
  await db.sql`select kairan.finish_follow_up(1)`
  await db.sql`update kairan.follow_ups set available_at = now() where finished_at is null`
  const again = await take(db)
  expect(again.map(({ id, attempts }) => [id, attempts])).toEqual([
    [2, 2],
    [3, 2],
  ])
  const finish = async (id: number, error: string | null) => {
    const [row] = await db.sql`select kairan.finish_follow_up(${id}, ${error}::text) as done`
    return row?.done
  }
  expect([await finish(2, 'no such address'), await finish(2, null), await finish(1, 'x')]).toEqual(
    [true, false, false],
  )
  const rows = await db.sql`
    select id::int, error, finished_at is not null as finished from kairan.follow_ups order by id`
  expect([...rows]).toEqual([
    { id: 1, error: null, finished: true },
    { id: 2, error: 'no such address', finished: true },
    { id: 3, error: null, finished: false },
  ])
})

test('a worker that is late ends no attempt of another one, but may say that it was sent', async () => {
  await using db = await migrated()
  for (const n of [1, 2]) await publish(db, `${n}`, n)
  await due(db)
  await decide(db)
  const leave = () =>
    db.sql`select available_at, finished_at, error from kairan.follow_ups order by id`
  expect((await take(db)).map(({ attempts }) => attempts)).toEqual([1, 1])
  await db.sql`update kairan.follow_ups set available_at = now()`
  expect((await take(db)).map(({ attempts }) => attempts)).toEqual([2, 2])
  const before = [...(await leave())]
  const [late] = await db.sql`
    select kairan.finish_follow_up(1, 'no address', 1) as finished, kairan.postpone_follow_up(1, 'away', null, 1) as postponed,
      kairan.finish_follow_up(99, 'unknown', 1) as unknown`
  expect(late).toEqual({ finished: false, postponed: null, unknown: false })
  expect([...(await leave())]).toEqual(before)
  const [own] = await db.sql`
    select kairan.postpone_follow_up(1, 'away', null, 2) is not null as postponed, kairan.finish_follow_up(2, null, 1) as sent`
  expect(own).toEqual({ postponed: true, sent: true })
})

test('what retention has removed can be withdrawn while its follow-up is open', async () => {
  await using db = await migrated()
  const id = await publish(db, '1', 1)
  await due(db)
  await decide(db)
  await take(db)
  await db.sql`delete from kairan.notifications`
  const withdraw = async () => {
    const [row] = await db.sql`select kairan.withdraw(${id}) as done`
    return row?.done
  }
  expect([await withdraw(), await withdraw()]).toEqual([true, false])
  const [row] = await db.sql`select error from kairan.follow_ups where finished_at is not null`
  expect(row?.error).toBe('withdrawn')
})

test('one that failed is postponed for longer each time, given up after a day, and can be retried', async () => {
  await using db = await migrated()
  await publish(db, '1', 1)
  await due(db)
  await decide(db)
  const postpone = async (delay: string | null = null) => {
    const [row] = await db.sql<{ at: number | null; began: number }[]>`
      select extract(epoch from kairan.postpone_follow_up(1, 'status 503', ${delay}::text::interval))::float8 as at,
        extract(epoch from now())::float8 as began`
    // It was decided at some moment between.
    const [clock] = await db.sql<{ ended: number }[]>`
      select extract(epoch from clock_timestamp())::float8 as ended`
    if (!row || !clock || row.at === null) return null
    return { least: row.at - clock.ended, most: row.at - row.began }
  }
  const delays = []
  for (const _ of [1, 2, 3]) {
    await db.sql`update kairan.follow_ups set available_at = now()`
    await take(db)
    delays.push(await postpone())
  }
  for (const [index, delay] of delays.entries()) {
    expect(delay?.most).toBeGreaterThan(5 * 2 ** index * 0.7)
    expect(delay?.least).toBeLessThan(5 * 2 ** index * 1.3)
  }
  expect((await postpone('10 minutes'))?.most).toBeGreaterThan(599)
  await db.sql`update kairan.follow_ups set first_taken_at = now() - interval '1 day'`
  expect(await postpone()).toBeNull()
  const errorOf = async () => (await db.sql`select error from kairan.follow_ups`)[0]?.error
  expect(await errorOf()).toBe('given up after a day: status 503')
  expect(await take(db)).toEqual([])
  await db.sql`select kairan.retry_follow_up(1)`
  expect(await take(db)).toHaveLength(1)
  // A worker that dies each time gives none of it back, and it ends as well.
  await db.sql`
    update kairan.follow_ups set first_taken_at = now() - interval '2 days', available_at = now()`
  expect(await take(db)).toEqual([])
  expect(await errorOf()).toBe('given up after a day: it was taken, and not finished')
})

test('taking passes over what nobody needs any more', async () => {
  await using db = await migrated()
  for (let n = 0; n < 5; n++) await publish(db, '1', n)
  await due(db)
  await decide(db)
  await db.sql`update kairan.notifications set expires_at = now() where (payload ->> 'n')::int < 4`
  expect((await take(db, 2)).map(({ payload }) => payload.n)).toEqual([4])
})

test('a login with the role kairan_follower takes, finishes and postpones, and reads nothing else', async () => {
  await using db = await migrated()
  await using mailer = await login(db, 'kairan_follower')
  for (const n of [1, 2]) await publish(db, '1', n)
  await due(db)
  await decide(db)
  expect(await take(mailer)).toHaveLength(2)
  await mailer.sql`select kairan.finish_follow_up(1), kairan.postpone_follow_up(2, 'later')`
  const [row] = await db.sql`
    select taken_by = ${mailer.name} || ' ' || 'postgres.js' as own from kairan.follow_ups where id = 1`
  expect(row?.own).toBe(true)
  expect(await mailer.sql`select from kairan.notifications`.then(() => 1, String)).toBe(1)
  const denied = mailer.sql`select payload from kairan.notifications`
  expect(await denied.catch(error => error.code)).toBe('42501')
})

test('retention removes what is finished, and gives up what nobody takes', async () => {
  await using db = await migrated()
  for (const n of [1, 2, 3]) await publish(db, '1', n)
  await due(db)
  await decide(db)
  await take(db, 2)
  await db.sql`select kairan.finish_follow_up(1), kairan.finish_follow_up(2)`
  await db.sql`update kairan.follow_ups set finished_at = now() - interval '8 days' where id = 1`
  await db.sql`update kairan.follow_ups set available_at = now() - interval '8 days' where id = 3`
  const [row] = await db.sql`select kairan.prune_follow_ups('7 days') as n`
  expect(row?.n).toBe(2)
  const rows = await db.sql`select id::int, error from kairan.follow_ups order by id`
  expect([...rows]).toEqual([
    { id: 2, error: null },
    { id: 3, error: 'given up: nobody took it' },
  ])
})

test('a copy of the rows that left the sequence behind loses no follow-up', async () => {
  await using db = await migrated()
  await publish(db, '1', 1)
  await due(db)
  await decide(db)
  await publish(db, '1', 2)
  await due(db)
  await db.sql`select setval('kairan.follow_ups_id_seq', 1, false)`
  while ((await decide(db))?.looked);
  expect(await followUps(db)).toEqual(['1:1', '1:2'])
})

test('tens of thousands that have expired keep nobody from taking what has not', async () => {
  await using db = await migrated()
  const rows = 30_000
  await db.sql`
    insert into kairan.follow_ups (notification_id, user_id, channel, payload, published_at, expires_at, due_at)
    select gen_random_uuid(), '1', 'user-1', jsonb_build_object('n', n), now(),
      case when n <= ${rows}::int then now() - interval '1 second' end, now()
    from generate_series(1, ${rows + 3}::int) n`
  await using follower = await login(db, 'kairan_follower')
  await db.sql.unsafe(`alter role ${follower.name} set statement_timeout = '4s'`)
  const taken: number[] = []
  for (let calls = 0; taken.length < 3 && calls < 10; calls++) {
    const some = await take(follower, 2)
    expect(some.length).toBeLessThanOrEqual(2)
    taken.push(...some.map(({ payload }) => payload.n))
  }
  expect(taken.toSorted()).toEqual([rows + 1, rows + 2, rows + 3])
})

test('what a worker writes into a follow-up keeps no other from being taken, nor this one from ending', async () => {
  await using db = await migrated()
  await using follower = await login(db, 'kairan_follower')
  await publish(db, '1', 1)
  await publish(db, '2', 2)
  await due(db)
  await decide(db)
  const int = [-2147483648, -1, 0, 1, 1024, 1025, 2147483647]
  const time = ['-infinity', '4714-11-24 BC', '294276-12-31 23:59:59.999999', 'infinity']
  for (const value of [...int, ...time]) {
    const isInt = typeof value === 'number'
    await db.sql`
      update kairan.follow_ups set finished_at = null, available_at = now(), first_taken_at = null, attempts = 0`
    await follower.sql`
      update kairan.follow_ups
      set attempts = ${isInt ? value : 1}, first_taken_at = ${isInt ? null : value}::text::timestamptz where id = 1`
    const taken = await take(follower)
    expect(taken.map(({ payload }) => payload.n)).toContain(2)
    await follower.sql`select kairan.postpone_follow_up(1, 'away')`
    await follower.sql`update kairan.follow_ups set available_at = ${isInt ? 'now' : value}::text::timestamptz where id = 1`
    await take(follower)
    await db.sql`select kairan.prune_follow_ups('1 day')`
  }
  for (const column of ['error', 'taken_by']) {
    const written = follower.sql.unsafe(
      `update kairan.follow_ups set ${column} = repeat('x', 2000)`,
    )
    await expect(written.execute()).rejects.toThrow(`${column}_of_at_most`)
  }
})

test('large ones on many channels are decided a few at a time, each once', async () => {
  await using db = await migrated()
  await db.sql`select setval('kairan.max_event_bytes', ${16 * 1024 * 1024})`
  await db.sql`
    select kairan.publish(
      array(select 'user-' || n from generate_series(1, 10) n), jsonb_build_object('x', repeat('x', 4000000)),
      follow_up_after => '1 hour'
    )`
  await db.sql`select from kairan.number()`
  await due(db)
  const made: number[] = []
  for (let left = 10; left > 0; ) {
    const decided = await decide(db)
    made.push(decided?.made ?? 0)
    if (!decided?.looked) break
    left -= decided.looked
  }
  expect(made).toEqual([3, 3, 3, 1])
  expect(await waiting(db)).toEqual([])
})
