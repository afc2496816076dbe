import { expect, test } from 'bun:test'
import { type Client, open, openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { dispatched } from '../support/dispatched.ts'
import { eventually } from '../support/eventually.ts'
import { sequence } from '../support/log.ts'
import { serve, tokenFor } from '../support/service.ts'

const publish = async ({ sql }: TestDatabase, count: number, channel = 'user-42') => {
  await sql`
    insert into kairan.notifications (channels, payload)
    select array[${channel}], jsonb_build_object('n', n) from generate_series(1, ${count}::int) n`
}

const headIs = (db: TestDatabase, head: number) =>
  eventually(async () => (await db.sql`select from kairan.log where head = ${head}`).length)

const cursorAt = async ({ sql }: TestDatabase, seq: number) => {
  const [log] = await sql`select epoch from kairan.log`
  return `${log?.epoch}-${seq}`
}

const numbers = (events: Client['events']) => events.map(({ payload }) => Number(payload.n))
const upTo = (last: number, from = 1) =>
  Array.from({ length: last - from + 1 }, (_, index) => from + index)

test('resumes from memory and from the log, on any instance, and goes on live', async () => {
  await using db = await database()
  await using one = await serve(db)
  await publish(db, 3000)
  await headIs(db, 3000)
  // This one has started later: it has nothing in memory.
  await using two = await serve(db)
  const token = await tokenFor('42')
  for (const service of [one, two]) {
    await using client = await openReady(service.url, {
      token,
      lastEventId: await cursorAt(db, 5),
    })
    await client.atLeast(2995)
    expect(numbers(client.events)).toEqual(upTo(3000, 6))
    expect(client.controls).toMatchObject([{ type: 'ready', resumed: true }])
  }
  await using client = await openReady(two.url, { token, lastEventId: await cursorAt(db, 2999) })
  await publish(db, 1)
  await client.atLeast(2)
  expect(numbers(client.events)).toEqual([3000, 1])
})

test('skips deliveries that have lost their notification, and nothing else', async () => {
  await using db = await database()
  {
    await using _first = await serve(db)
    await publish(db, 3000)
    await headIs(db, 3000)
  }
  // As somebody may do by hand: the trigger that removes the deliveries, too, is off.
  await db.sql`alter table kairan.notifications disable trigger forget_deliveries`
  await db.sql`delete from kairan.notifications where (payload ->> 'n')::int between 100 and 300`
  await using service = await serve(db)
  await using client = await openReady(service.url, {
    token: await tokenFor('42'),
    lastEventId: await cursorAt(db, 0),
  })
  await client.atLeast(2799)
  expect(numbers(client.events)).toEqual([...upTo(99), ...upTo(3000, 301)])
})

test('takes the cursor from the query where no header can be sent; the header wins', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 4)
  await headIs(db, 4)
  const token = await tokenFor('42')
  const [one, two, three] = await Promise.all([1, 2, 3].map(seq => cursorAt(db, seq)))
  for (const [query, lastEventId, expected] of [
    [`?last_event_id=${one}`, undefined, [2, 3, 4]],
    [`?lastEventId=${two}`, undefined, [3, 4]],
    [`?last_event_id=${one}`, three, [4]],
  ] as const) {
    await using client = await openReady(service.url, {
      token,
      query,
      ...(lastEventId ? { lastEventId } : {}),
    })
    await client.atLeast(expected.length)
    expect(numbers(client.events)).toEqual([...expected])
  }
})

test('does not replay what the role level of today does not allow', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.roles values ('42', 100)`
  await publish(db, 2, 'admin-dashboard')
  await publish(db, 1, 'all-users')
  await headIs(db, 3)
  const channels = async () => {
    await using client = await openReady(service.url, {
      token: await tokenFor('42'),
      lastEventId: await cursorAt(db, 0),
    })
    await eventually(() => client.events.some(({ channel }) => channel === 'all-users'))
    return client.events.map(({ channel }) => channel)
  }
  expect(await channels()).toEqual(['admin-dashboard', 'admin-dashboard', 'all-users'])
  await db.sql`update kairan.roles set role_level = 0`
  expect(await channels()).toEqual(['all-users'])
})

test('says a gap aloud, then goes on live, and the client resumes from there', async () => {
  await using db = await database()
  {
    await using _first = await serve(db)
    await publish(db, 20)
    await headIs(db, 20)
  }
  await db.sql`update kairan.numbered set created_at = now() - interval '8 days' where seq <= 12`
  const [raised] = await db.sql`select kairan.raise_floor('7 days')::int as floor`
  expect(raised?.floor).toBe(12)
  await db.sql`select kairan.prune()`

  await using service = await serve(db, { REPLAY_LIMIT: '5' })
  const token = await tokenFor('42')
  const head = await cursorAt(db, 20)
  const cases: [cursor: string, gap: object][] = [
    [await cursorAt(db, 11), { reason: 'retention' }],
    [await cursorAt(db, 12), { reason: 'limit', missed: 6 }],
    [await cursorAt(db, 21), { reason: 'log' }],
    [await cursorAt(db, 9_000_000_000_000_000), { reason: 'log' }],
    ['00000000-20', { reason: 'log' }],
  ]
  for (const [cursor, gap] of cases) {
    await using client = await openReady(service.url, { token, lastEventId: cursor })
    expect(await client.control('gap')).toEqual({ type: 'gap', ...gap, from: cursor, to: head })
    const ready = { type: 'ready', resumed: false, cursor: head, head }
    expect(client.controls[0]).toMatchObject(ready)
    expect(client.lastEventId).toBe(head)
    expect(client.events).toEqual([])
  }
  await using exact = await openReady(service.url, { token, lastEventId: await cursorAt(db, 15) })
  await exact.atLeast(5)
  expect(numbers(exact.events)).toEqual(upTo(20, 16))
  expect(exact.controls).toHaveLength(1)

  await using after = await openReady(service.url, { token, lastEventId: '00000000-1' })
  await publish(db, 1)
  expect(numbers(await after.atLeast(1))).toEqual([1])
})

test('a cursor that it can not have given is a gap, in the header and in the query', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  await publish(db, 1)
  await dispatched(service, 1)
  const cursors = [
    ...['x', '7', 'abc-', '-5', 'abc-1e3', 'abc--1', "abc-1';--", 'yesterday', 'new', 'new-0'],
    ...[`abc-${'9'.repeat(17)}`, 'abc-9999999999999999', `${'a'.repeat(17)}-1`, 'x'.repeat(8000)],
    // As a stream by ticket had it, of another server.
    ...[`x-${'0'.repeat(30)}`, `abc-1-${'0'.repeat(30)}`],
  ]
  const encoded = [...cursors, 'abc-1\0', "'; drop table deliveries; --", '回覧'].map(
    encodeURIComponent,
  )
  const asked = [
    ...cursors.map(lastEventId => ({ token, lastEventId })),
    ...encoded.map(cursor => ({ token, query: `?last_event_id=${cursor}` })),
    ...encoded.map(cursor => ({ token, query: `?lastEventId=${cursor}` })),
  ]
  for (const options of asked) {
    await using client = await open(service.url, options)
    expect([options, client.response.status]).toEqual([options, 200])
    const gap = await client.control('gap')
    expect(gap.reason).toBe('log')
    expect(client.controls.map(({ type }) => type)).toEqual(['ready', 'gap'])
    expect(client.lastEventId).toBe(String(gap.to))
  }
  // It goes on from there.
  await using client = await openReady(service.url, { token, lastEventId: 'yesterday' })
  await publish(db, 2)
  // The two are the first of their insert.
  expect(numbers(await client.atLeast(2))).toEqual([1, 2])
})

test('retention removes what is old, in steps, and keeps what is not', async () => {
  await using db = await database()
  await using service = await serve(db, { RETENTION: '90s' })
  await publish(db, 2500)
  const [kept] = await db.sql`select kairan.publish('user-42', '{}') as id`
  await dispatched(service, 2501)
  await db.sql`update kairan.numbered set created_at = now() - interval '1 hour' where seq <= 2500`

  await eventually(async () => (await db.sql`select from kairan.notifications`).length === 1)
  expect(await db.sql`select notification_id as id from kairan.deliveries`).toMatchObject([
    { id: kept?.id },
  ])
  // It is still in memory, so this instance can resume it all the same.
  await using client = await openReady(service.url, {
    token: await tokenFor('42'),
    lastEventId: await cursorAt(db, 2499),
  })
  await client.atLeast(2)
})

test('fails what has expired while it was pending', async () => {
  await using db = await database()
  await using _service = await serve(db, { RETENTION: '10s' })
  await db.sql`
    select kairan.publish('user-42', '{}', expires_at => now() + interval '1.5 seconds')`
  const row = await eventually(async () => {
    const [found] = await db.sql`select * from kairan.deliveries where status = 'failed'`
    return found
  })
  expect(row).toMatchObject({ error: 'expired', recipients: 0, delivered_at: null })
})

test('one row that no date can hold stops nobody', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  await db.sql.unsafe(`
    alter table kairan.notifications disable trigger check_notification;
    insert into kairan.notifications (channels, payload, created_at, expires_at, bytes)
      values ('{user-42}', '{"n": 1}', 'infinity', 'infinity', 8);
    alter table kairan.notifications enable trigger check_notification;`)
  await db.sql`select kairan.publish('user-42', '{"n": 2}')`
  const events = await client.atLeast(2)
  expect(events.map(({ payload }) => payload.n)).toEqual([1, 2])
})

test('reads the log in a database of another date style', async () => {
  await using db = await database()
  const [row] = await db.sql`select current_database() as name`
  await db.sql.unsafe(`alter database ${row?.name} set datestyle = 'SQL, DMY'`)
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const before = Date.now()
  await db.sql`select kairan.publish('user-42', '{}')`
  const [event] = await client.atLeast(1)
  expect(Math.abs(Date.parse(event?.createdAt ?? '') - before)).toBeLessThan(60_000)
})

test('a log that went back to an earlier state is another one: clients are told', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  await using client = await openReady(service.url, { token })
  for (let n = 0; n < 5; n++) await db.sql`select kairan.publish('user-42', '{}')`
  await client.atLeast(5)
  // As a dump does that is restored into the running server: same epoch, same start of the server.
  await db.sql`delete from kairan.notifications`
  await db.sql`delete from kairan.batches where head > 1`
  await eventually(() => client.ended)
  await using again = await openReady(service.url, { token, lastEventId: client.lastEventId ?? '' })
  expect(await again.control('gap')).toMatchObject({ reason: 'log' })
  await db.sql`select kairan.publish('user-42', '{"n": "new"}')`
  const [event] = await again.atLeast(1)
  expect(event?.payload.n).toBe('new')
})

test('two that remove at the same time leave nothing behind', async () => {
  await using db = await database()
  {
    await using _migrates = await serve(db)
  }
  await db.sql`
    insert into kairan.notifications (channels, payload, created_at)
    values ('{user-1,user-2}', '{}', now() - interval '8 days')`
  await sequence(db.sql)
  await db.sql`select kairan.raise_floor('7 days')`
  await db.sql.begin(async tx => {
    await tx`select kairan.prune(batch => 1)`
    await db.sql`select kairan.prune(batch => 1)`
  })
  await db.sql`select kairan.prune()`
  expect(await db.sql`select from kairan.deliveries`).toHaveLength(0)
  expect(await db.sql`select from kairan.notifications`).toHaveLength(0)
})
