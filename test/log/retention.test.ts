import { expect, test } from 'bun:test'
import { createPace, createRetention } from '../../src/log/retention.ts'
import { createDatabase } from '../../src/postgres/database.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'

test('what was locked when it expired fails later', async () => {
  await using db = await database()
  await using _service = await serve(db, { RETENTION: '10s' })
  const [held] = await db.sql`
    select kairan.publish('user-1', '{}', expires_at => now() + interval '1 hour') as id,
      kairan.publish('user-2', '{}', expires_at => now() + interval '1 hour')`
  const id = String(held?.id)
  await eventually(async () => (await db.sql`select from kairan.numbered`).length === 2)
  const locked = Promise.withResolvers<void>()
  const later = Promise.withResolvers<void>()
  const holder = db.sql.begin(async tx => {
    await tx`select from kairan.numbered where notification_id = ${id}::uuid for update`
    locked.resolve()
    await later.promise
  })
  await locked.promise
  // Both expire in one moment, so who finds the one finds the other.
  await db.sql`
    update kairan.notifications
    set expires_at = now() + case id when ${id}::uuid then interval '0' else interval '1 ms' end`
  const statuses = async () => {
    const rows = await db.sql<{ channel: string; status: string; error: string | null }[]>`
      select channel, status, error from kairan.deliveries order by channel`
    return rows.map(({ channel, status, error }) => [channel, status, error])
  }
  await eventually(async () => (await statuses())[1]?.[1] === 'failed')
  expect(await statuses()).toEqual([
    ['user-1', 'pending', null],
    ['user-2', 'failed', 'expired'],
  ])
  later.resolve()
  await holder
  await eventually(async () => (await statuses())[0]?.[1] === 'failed')
  expect((await statuses())[0]).toEqual(['user-1', 'failed', 'expired'])
})

test('an instance that is not to remove what is old any more stops in the midst of it', async () => {
  await using db = await database()
  const rows = 30_000
  await db.sql`
    insert into kairan.numbered (seq, notification_id, channel, created_at)
    select n, gen_random_uuid(), 'user-1', now() - interval '8 days' from generate_series(1, ${rows}::int) n`
  const client = createDatabase(db.url, { max: 1, name: 'test', direct: true, deadlineMs: 10_000 })
  const left = async () => (await db.sql`select from kairan.numbered`).length
  let askedInVain = 0
  let neededFor = 20
  const retention = createRetention({
    database: client,
    keepMs: 7 * 86_400_000,
    everyMs: 1,
    isNeeded() {
      if (neededFor-- > 0) return true
      askedInVain++
      return false
    },
    report: { error: console.error, warn: console.error, info: () => undefined },
  })
  retention.start()
  // By then that run has ended, and others have begun in vain.
  await eventually(() => askedInVain > 20)
  const remaining = await left()
  expect(remaining).toBeLessThan(rows)
  expect(remaining).toBeGreaterThan(0)
  neededFor = Number.POSITIVE_INFINITY
  await eventually(async () => (await left()) === 0)
  await retention.stop()
  await client.stop()
})

test('retention rests only while it removes at least as much as is published', () => {
  const pace = createPace()
  expect(pace.step(2500, 10_000)).toBe(false)
  expect(pace.step(2500, 15_000)).toBe(false)
  expect(pace.step(2500, 18_000)).toBe(true)
  expect(pace.step(2500, 20_001)).toBe(true)
  expect(pace.step(2500, 20_100)).toBe(false)
})

test('what can not be removed keeps nothing else from being marked and removed', async () => {
  await using db = await database()
  await db.sql`
    insert into kairan.tickets (hash, user_id, token_expires_at, ends_at) values ('\\x01', '1', now(), now())`
  await db.sql`
    insert into kairan.mutes (user_id, type, until) values ('1', 'news.*', '2001-01-01Z')`
  await db.sql`
    insert into kairan.numbered (seq, notification_id, channel, created_at)
    values (1, gen_random_uuid(), 'user-1', now() - interval '8 days')`
  await db.sql.unsafe(`
    create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$;
    create trigger refuse before delete on kairan.tickets for each row execute function refuse()`)
  const client = createDatabase(db.url, { max: 1, name: 'test', direct: true, deadlineMs: 10_000 })
  const warned: unknown[] = []
  const retention = createRetention({
    database: client,
    keepMs: 7 * 86_400_000,
    everyMs: 1,
    isNeeded: () => true,
    report: { error: console.error, warn: facts => warned.push(facts), info: () => undefined },
  })
  retention.start()
  await eventually(async () => {
    const left = await db.sql`select from kairan.numbered union all select from kairan.mutes`
    return left.length === 0
  })
  await retention.stop()
  await client.stop()
  expect(await db.sql`select from kairan.tickets`).toHaveLength(1)
  expect(JSON.stringify(warned[0])).toContain('not this one')
})

test('any number that expire at the same moment, on many channels, are marked step by step', async () => {
  await using db = await database()
  const [notifications, channels, most] = [50, 100, 1000]
  await db.sql`
    insert into kairan.notifications (channels, payload, expires_at)
    select array(select 'user-' || c from generate_series(1, ${channels}::int) c), '{}', now() + interval '1 hour'
    from generate_series(1, ${notifications}::int)`
  await db.sql`select from kairan.number(10000)`
  // A moment at the end of time, of which nothing can be subtracted.
  await db.sql`update kairan.notifications set expires_at = '4714-11-24 00:00:00+00 BC'`
  await db.sql`select kairan.settle()`
  // What was withdrawn while it was locked is marked as that, later.
  await db.sql`
    insert into kairan.notifications (channels, payload, expires_at) values ('{user-0}', '{}', '-infinity')`
  await db.sql`select from kairan.number()`
  await db.sql`update kairan.numbered set status = 'p', error = null where channel = 'user-0'`
  type Step = {
    changed: number
    reached: string | null
    reached_place: string
    again_place: string | null
  }
  const expireAll = async () => {
    const steps: Step[] = []
    let [at, place] = ['-infinity', '0']
    for (;;) {
      const [step] = await db.sql<Step[]>`
        select changed, reached::text, reached_place::text, again_place::text
        from kairan.expire_after(${at}::text::timestamptz, ${place}::text::bigint, ${most}::int)`
      if (!step?.reached) return steps
      steps.push(step)
      ;[at, place] = [step.reached, step.reached_place]
    }
  }
  await db.sql.begin(async tx => {
    await tx`select from kairan.numbered where seq = ${3 * channels + 1} for update`
    const steps = await expireAll()
    expect(steps.map(({ changed }) => changed)).toEqual([999, 1000, 1000, 1000, 1000])
    const [locked] = await db.sql`
      select place::text from kairan.notifications n order by n.place offset 3 limit 1`
    expect(steps.map(step => step.again_place)).toEqual([
      String(Number(locked?.place) - 1),
      ...Array(4).fill(null),
    ])
  })
  expect((await expireAll()).map(({ changed }) => changed)).toEqual([1, 0, 0, 0, 0])
  expect(await db.sql`select status from kairan.numbered where channel = 'user-0'`).toMatchObject([
    { status: 'p' },
  ])
})

test('what changed before it was numbered is settled in a time that its channels do not multiply', async () => {
  await using db = await database()
  const rows = 24
  await db.sql.begin(async tx => {
    await tx`
      insert into kairan.notifications (channels, payload)
      select (select array_agg(repeat('🎉', 200) || c) from generate_series(1, 1000) c), '{}'
      from generate_series(1, ${rows}::int)`
    await tx`select kairan.withdraw(id) from kairan.notifications`
  })
  for (let head = 0; head < rows * 1000; ) {
    const [row] = await db.sql<{ head: number }[]>`
      select (state ->> 'head')::int as head from kairan.number() where state is not null`
    head = row?.head ?? 0
  }
  await db.sql`select kairan.publish('user-1', '{}')`
  await db.sql`select from kairan.number()`
  const client = createDatabase(db.url, { max: 1, name: 'test', direct: true, deadlineMs: 4000 })
  // Counted by what is left: the step also removes old batches, as that of the database which this one is a copy of.
  const left: number[] = []
  for (;;) {
    const [row] = await client.run(sql => sql<{ n: number }[]>`select kairan.prune_batches() as n`)
    if (!row?.n) break
    left.push((await db.sql`select from kairan.unsettled`).length)
  }
  await client.stop()
  expect(left.slice(0, 2)).toEqual([4, 0])
  expect(await db.sql`select from kairan.unsettled`).toHaveLength(0)
})
