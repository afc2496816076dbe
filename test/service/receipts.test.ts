import { expect, test } from 'bun:test'
import { type Client, openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { dispatched } from '../support/dispatched.ts'
import { eventually } from '../support/eventually.ts'
import { ask, pageOf } from '../support/inbox.ts'
import { serve, tokenFor } from '../support/service.ts'

/** Who has confirmed which `n`, as `user:n`. */
const confirmed = async ({ sql }: TestDatabase) => {
  const rows = await sql`
    select c.user_id || ':' || (n.payload ->> 'n') as pair
    from kairan.confirmations c join kairan.notifications n on n.id = c.notification_id order by 1`
  return rows.map(({ pair }) => String(pair))
}

/** Waits until what has ended and who has returned is written down, and brought together. */
const settled = (db: TestDatabase, count: number) =>
  eventually(async () => (await db.sql`select from kairan.unconfirmed`).length === count)

const publish = (db: TestDatabase, channel: string, n: number) =>
  db.sql`select kairan.publish(${channel}, ${db.sql.json({ n })})`

const cursorOf = (client: Client, n: number) =>
  client.events.find(({ payload }) => payload.n === n)?.cursor ?? ''

test('the cursor of a client that returns confirms what came before it, on the channels of its stream', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const token = await tokenFor('42')
  await publish(db, 'all-users', 1) // Nobody was there.
  await dispatched(one, 1)
  const client = await openReady(one.url, { token })
  await publish(db, 'user-42', 2)
  await publish(db, 'all-users', 3)
  await publish(db, 'user-42', 4)
  await client.atLeast(3)
  expect(await confirmed(db)).toEqual([])
  await client[Symbol.asyncDispose]()
  await settled(db, 1)
  expect(await confirmed(db)).toEqual([])

  // It has got no further than the third, though its connection has taken all.
  const back = await openReady(two.url, { token, lastEventId: cursorOf(client, 3) })
  await eventually(async () => (await confirmed(db)).length > 0)
  expect(await confirmed(db)).toEqual(['42:2', '42:3'])
  await back.atLeast(1)
  await back[Symbol.asyncDispose]()
  await settled(db, 1)
  await using last = await openReady(one.url, { token, lastEventId: cursorOf(back, 4) })
  await eventually(async () => (await confirmed(db)).length === 3)
  expect(await confirmed(db)).toEqual(['42:2', '42:3', '42:4'])
  expect(last.events).toEqual([])
})

test('a narrowed stream confirms only its channels, and a user only for himself', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  const client = await openReady(service.url, { token, query: '?channels=user-42' })
  await publish(db, 'all-users', 1)
  await publish(db, 'user-42', 2)
  await client.atLeast(1)
  await client[Symbol.asyncDispose]()
  await settled(db, 1)
  await using other = await openReady(service.url, {
    token: await tokenFor('43'),
    lastEventId: cursorOf(client, 2),
  })
  await using back = await openReady(service.url, { token, lastEventId: cursorOf(client, 2) })
  await eventually(async () => (await confirmed(db)).length > 0)
  expect(await confirmed(db)).toEqual(['42:2'])
  expect([...other.events, ...back.events]).toEqual([])
})

test('what was pending when a stream began is confirmed one by one', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  for (const n of [1, 2, 3]) await publish(db, 'user-42', n)
  await publish(db, 'all-users', 4)
  await dispatched(service, 4)
  const client = await openReady(service.url, { token })
  await client.atLeast(3)
  await client[Symbol.asyncDispose]()
  await settled(db, 1)
  await using back = await openReady(service.url, { token, lastEventId: cursorOf(client, 2) })
  await eventually(async () => (await confirmed(db)).length > 0)
  expect(await confirmed(db)).toEqual(['42:1', '42:2'])
  expect(back.controls[0]).toMatchObject({ resumed: true })
})

test('a gap that was told is not confirmed, nor is a cursor of nowhere', async () => {
  await using db = await database()
  await using service = await serve(db, { REPLAY_LIMIT: '2' })
  const token = await tokenFor('42')
  const first = await openReady(service.url, { token })
  const start = first.lastEventId ?? ''
  await first[Symbol.asyncDispose]()
  for (const n of [1, 2, 3, 4]) await publish(db, 'all-users', n)
  await using other = await openReady(service.url, { token: await tokenFor('43') })
  await dispatched(service, 4)
  const late = await openReady(service.url, { token, lastEventId: start })
  await late.control('gap')
  await publish(db, 'all-users', 5)
  await late.atLeast(1)
  await late[Symbol.asyncDispose]()
  await using back = await openReady(service.url, { token, lastEventId: cursorOf(late, 5) })
  await eventually(async () => (await confirmed(db)).length > 0)
  expect(await confirmed(db)).toEqual(['42:5'])
  expect([back.events, other.controls.length]).toEqual([[], 1])
})

test('a page that begins from a cursor of the inbox confirms nothing of what another device has taken', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  // A device that reads nothing of what is given to its connection.
  const device = await openReady(service.url, { token })
  for (const n of [1, 2]) await publish(db, 'user-42', n)
  await device.atLeast(2)
  await device[Symbol.asyncDispose]()
  await settled(db, 1)

  const { cursor, notifications } = await pageOf(service.url, '42')
  // The head, the newer one, and the older one, which the newer one comes after.
  const begun = [cursor, ...notifications.map(item => item.cursor)]
  for (const [from, missed] of begun.map((from, n) => [from, n === 2 ? 1 : 0] as const)) {
    for (const options of [{ lastEventId: from }, { query: `?last_event_id=${from}` }]) {
      await using page = await openReady(service.url, { token, ...options })
      expect(page.controls[0]).toMatchObject({ resumed: true })
      expect(await page.atLeast(missed)).toHaveLength(missed)
      await page[Symbol.asyncDispose]()
    }
  }
  // What those that began at the older one took waits, too; no cursor does.
  await eventually(
    async () =>
      (await db.sql`select from kairan.unconfirmed where channels is not null`).length > 1,
  )
  expect(await db.sql`select from kairan.unconfirmed where channels is null`).toHaveLength(0)
  expect(await confirmed(db)).toEqual([])
  // The device itself, which has it after all, returns with what its stream brought.
  await using _back = await openReady(service.url, { token, lastEventId: cursorOf(device, 2) })
  await eventually(async () => (await confirmed(db)).length > 0)
})

test('a cursor confirms nothing of a stream that has not carried it', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  const own = await openReady(service.url, { token, query: '?channels=user-42' })
  const wide = await openReady(service.url, { token, query: '?channels=all-users' })
  await publish(db, 'user-42', 1)
  await publish(db, 'all-users', 2)
  await publish(db, 'user-42', 3)
  await own.atLeast(2)
  await wide.atLeast(1)
  await own[Symbol.asyncDispose]()
  await settled(db, 1)
  // The end of the other stream is not noticed yet.
  const back = { token, query: '?channels=all-users', lastEventId: cursorOf(wide, 2) }
  await using _back = await openReady(service.url, back)
  await settled(db, 2)
  expect(await confirmed(db)).toEqual([])
  await wide[Symbol.asyncDispose]()
  await settled(db, 1)
  expect(await confirmed(db)).toEqual(['42:2'])
})

test('of two streams that have carried a cursor, it confirms what both had', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  const all = await openReady(service.url, { token })
  const wide = await openReady(service.url, { token, query: '?channels=all-users' })
  await publish(db, 'user-42', 1)
  await publish(db, 'all-users', 2)
  await all.atLeast(2)
  await wide.atLeast(1)
  await all[Symbol.asyncDispose]()
  await wide[Symbol.asyncDispose]()
  await settled(db, 2)
  await using _back = await openReady(service.url, { token, lastEventId: cursorOf(wide, 2) })
  await eventually(async () => (await confirmed(db)).length > 0)
  expect(await confirmed(db)).toEqual(['42:2'])
})

test('it does not matter which is noticed first: the end of a stream, or the return of its client', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  const client = await openReady(service.url, { token })
  await publish(db, 'user-42', 1)
  await client.atLeast(1)
  // As if the network had cut the first off without a word.
  await using back = await openReady(service.url, { token, lastEventId: cursorOf(client, 1) })
  await settled(db, 1)
  expect(await confirmed(db)).toEqual([])
  await client[Symbol.asyncDispose]()
  await eventually(async () => (await confirmed(db)).length > 0)
  expect(await confirmed(db)).toEqual(['42:1'])
  expect(back.events).toEqual([])
})

test('a client can say so itself; who has not received a notice is one query', async () => {
  await using db = await database()
  await using service = await serve(db)
  await publish(db, 'all-users', 1)
  await publish(db, 'user-43', 2)
  await eventually(
    async () => (await db.sql`select from kairan.deliveries where seq > 0`).length === 2,
  )
  const ids = (await db.sql`select id from kairan.notifications order by payload ->> 'n'`).map(
    ({ id }) => id,
  )
  const confirm = async (post: unknown) => {
    const { status, body } = await ask(service.url, '42', { post, path: '/receipts' })
    return body.code === undefined ? [status] : [status, body.code]
  }
  for (const _ of [1, 2]) {
    expect(await confirm({ ids: [...ids, crypto.randomUUID()] })).toEqual([204])
    expect(await confirmed(db)).toEqual(['42:1'])
  }
  for (const bad of [{}, { ids: ['x'] }, { ids: [], all: true }, []]) {
    expect(await confirm(bad)).toEqual([400, 'bad_request'])
  }

  await db.sql`create table users (id text primary key)`
  await db.sql`insert into users values ('42'), ('43'), ('44')`
  const missing = await db.sql`
    select u.id from users u
    where not exists (
      select from kairan.confirmations c where c.notification_id = ${ids[0]} and c.user_id = u.id
    ) order by 1`
  expect(missing.map(({ id }) => id)).toEqual(['43', '44'])
})

test('retention takes receipts and what still waits for a cursor', async () => {
  await using db = await database()
  await using service = await serve(db, { RETENTION: '90s' })
  const token = await tokenFor('42')
  const client = await openReady(service.url, { token })
  await publish(db, 'user-42', 1)
  const [event] = await client.atLeast(1)
  await ask(service.url, '42', { post: { ids: [event?.id] }, path: '/receipts' })
  await client[Symbol.asyncDispose]()
  await settled(db, 1)
  await db.sql`update kairan.numbered set created_at = now() - interval '1 hour'`
  await settled(db, 0)
  await eventually(async () => (await db.sql`select from kairan.receipts`).length === 0)
})

test('many who return at once are a few statements', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  await db.sql`create table public.said (n int)`
  await db.sql.unsafe(`
    create function said() returns trigger language plpgsql as
      $$ begin insert into public.said values (1); return null; end $$;
    create trigger said after insert on kairan.unconfirmed for each statement execute function said()`)
  const clients = await Promise.all(
    Array.from({ length: 200 }, () => openReady(service.url, { token })),
  )
  await publish(db, 'user-42', 1)
  await Promise.all(clients.map(client => client.atLeast(1)))
  const cursor = clients[0]?.lastEventId ?? ''
  const begin = performance.now()
  await Promise.all(clients.map(client => client[Symbol.asyncDispose]()))
  const back = await Promise.all(
    clients.map(() => openReady(service.url, { token, lastEventId: cursor })),
  )
  await eventually(async () => (await confirmed(db)).length > 0)
  await Promise.all(back.map(client => client[Symbol.asyncDispose]()))
  const [statements] = await db.sql`select count(*)::int as n from public.said`
  // One in 200 ms, however long 200 clients take to leave and to return; not one for each of them.
  expect(statements?.n).toBeLessThan(Math.max(20, 5 + (performance.now() - begin) / 200))
})

test('made-up cursors cost a bounded time, and confirm nothing', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  await using first = await openReady(service.url, { token })
  const [, epoch = '', seq = ''] = /^(.+)-(\d+)$/.exec(first.lastEventId ?? '') ?? []
  const head = Number(seq)
  // Beyond the head, and from before anything; of streams that end at once.
  for (let round = 0; round < 5; round++) {
    await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        const made = n % 2 === 0 ? head + 1_000_000 + n : Math.max(0, head - n)
        const client = await openReady(service.url, { token, lastEventId: `${epoch}-${made}` })
        await client[Symbol.asyncDispose]()
      }),
    )
  }
  await publish(db, 'user-42', 1)
  await first.atLeast(1)
  await eventually(async () => {
    const [row] = await db.sql`select max(seq)::text as seq from kairan.unconfirmed`
    return Number(row?.seq ?? 0) <= head + 1
  })
  const [kept] =
    await db.sql`select count(*)::int as n from kairan.unconfirmed where user_id = '42'`
  expect(kept?.n).toBeLessThanOrEqual(40)
  expect(await confirmed(db)).toEqual([])
})

test('of one user, however many records come at once, the newest are kept', async () => {
  await using db = await database()
  await using service = await serve(db)
  await openReady(service.url, { token: await tokenFor('42') }).then(client => client.close())
  await publish(db, 'user-42', 1)
  await eventually(async () => (await db.sql`select from kairan.deliveries where seq > 0`).length)
  const [log] = await db.sql`select head from kairan.log`
  const items = Array.from({ length: 5000 }, (_, n) => ({
    userId: '9',
    since: n % 50,
    seq: n % 50,
  }))
  await db.sql`select kairan.record_unconfirmed(${db.sql.json(items)})`
  const rows = await db.sql`select seq::int from kairan.unconfirmed where user_id = '9'`
  expect(rows.length).toBeLessThanOrEqual(20)
  const beyond = [{ userId: '8', since: Number(log?.head) + 5, seq: Number(log?.head) + 5 }]
  await db.sql`select kairan.record_unconfirmed(${db.sql.json(beyond)})`
  expect(await db.sql`select from kairan.unconfirmed where user_id = '8'`).toHaveLength(0)
})

test('a client that reconnects again and again leaves one receipt for an hour, not one for each time', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  let lastEventId: string | undefined
  for (let n = 1; n <= 6; n++) {
    const client = await openReady(service.url, { token, ...(lastEventId ? { lastEventId } : {}) })
    await publish(db, 'user-42', n)
    await client.atLeast(1)
    lastEventId = client.lastEventId
    await client[Symbol.asyncDispose]()
    await eventually(async () => (await confirmed(db)).length === n - 1)
    await settled(db, 1)
  }
  await using last = await openReady(service.url, {
    token,
    ...(lastEventId ? { lastEventId } : {}),
  })
  await eventually(async () => (await confirmed(db)).length === 6)
  expect(await confirmed(db)).toEqual([1, 2, 3, 4, 5, 6].map(n => `42:${n}`))
  const [rows] =
    await db.sql`select count(*)::int as n from kairan.receipts where channel = 'user-42'`
  // One more when the hour ends meanwhile.
  expect(rows?.n).toBeLessThanOrEqual(2)
  expect(last.events).toEqual([])
})

test('what a user had muted is not confirmed by a cursor, live or replayed, and is followed up once it is not muted any more', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const token = await tokenFor('42')
  const send = async (n: number, type: string) => {
    await db.sql`
      select kairan.publish('user-42', ${db.sql.json({ n })}, ${type}, follow_up_after => '1 hour')`
    // Another channel of the stream, between them.
    await db.sql`select kairan.publish('all-users', ${db.sql.json({ n: n + 100 })}, 'all')`
  }
  const first = await openReady(one.url, { token })
  await send(1, 'order')
  await first.atLeast(2)
  await db.sql`select kairan.set_mutes('42', '[{"type": "news.*"}, {"type": "ad"}]')`
  await first.control('preferences')
  for (const [n, type] of [
    [2, 'news.a'],
    [3, 'ad'],
    [4, 'order'],
    [5, 'news.b'],
    [6, 'order'],
  ] as const) {
    await send(n, type)
  }
  await first.atLeast(9)
  await first[Symbol.asyncDispose]()
  await settled(db, 1)

  const back = await openReady(two.url, { token, lastEventId: cursorOf(first, 6) })
  await eventually(async () => (await confirmed(db)).length > 0)
  const received = ['42:1', '42:101', '42:102', '42:103', '42:104', '42:105', '42:4', '42:6']
  expect(await confirmed(db)).toEqual(received)
  // The last one, which it confirms when it returns.
  await back.atLeast(1)
  await back[Symbol.asyncDispose]()
  await eventually(async () => (await db.sql`select from kairan.streams`).length === 0)
  await send(7, 'ad')
  await send(8, 'order')
  await eventually(async () => {
    const [log] = await db.sql`select head::int from kairan.log`
    return log?.head === 16
  })
  const again = await openReady(two.url, { token, lastEventId: cursorOf(first, 106) })
  await again.atLeast(3)
  await again[Symbol.asyncDispose]()
  await using _ = await openReady(one.url, { token, lastEventId: cursorOf(again, 108) })
  await eventually(async () => (await confirmed(db)).includes('42:108'))
  expect(await confirmed(db)).toEqual(
    [...received, '42:106', '42:107', '42:108', '42:8'].toSorted(),
  )

  const followed = async () => {
    await db.sql`update kairan.follow_up_due set due_at = now() - interval '1 minute'`
    await eventually(async () => (await db.sql`select from kairan.follow_up_due`).length === 0)
    const rows = await db.sql`select payload ->> 'n' as n from kairan.follow_ups order by id`
    return rows.map(({ n }) => n)
  }
  const due = await db.sql`
    select n.payload ->> 'n' as n from kairan.follow_up_due f join kairan.notifications n on n.id = f.notification_id
    order by f.seq`
  expect(due.map(({ n }) => n)).toEqual(['2', '3', '5', '7'])
  await db.sql`select kairan.set_mutes('42', '[{"type": "ad"}]')`
  expect(await followed()).toEqual(['2', '5'])
})
