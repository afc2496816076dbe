import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { dispatched } from '../support/dispatched.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

const statuses = async ({ sql }: TestDatabase) => {
  const rows = await sql`select status, recipients from kairan.deliveries order by seq`
  return rows.map(({ status, recipients }) => `${status} ${recipients}`).join(', ')
}

test('leaves a delivery pending while nobody listens, and sends it when the user connects', async () => {
  await using db = await database()
  await using service = await serve(db)
  for (let number = 1; number <= 3; number++) {
    await db.sql`select kairan.publish('user-42', ${db.sql.json({ number })})`
  }
  await db.sql`select kairan.publish('all-users', '{}')`
  await dispatched(service, 4)
  expect(await statuses(db)).toBe('pending 0, pending 0, pending 0, pending 0')

  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const events = await client.atLeast(3)
  expect(events.map(({ payload }) => payload.number)).toEqual([1, 2, 3])
  await eventually(
    async () => (await statuses(db)) === 'delivered 1, delivered 1, delivered 1, pending 0',
  )
  // Having read all that was pending, it is at the head: a return does not bring the broadcast.
  expect(client.lastEventId).toEndWith('-4')

  await using again = await openReady(service.url, { token: await tokenFor('42') })
  await db.sql`select kairan.publish('user-42', '{"number": 4}')`
  const [event] = await again.atLeast(1)
  expect(event?.payload.number).toBe(4)
})

test('a client that is cut off while it gets what is pending gets the rest with its cursor', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  for (let number = 1; number <= 5; number++) {
    await db.sql`select kairan.publish('user-42', ${db.sql.json({ number })})`
  }
  await dispatched(service, 5)
  await using whole = await openReady(service.url, { token })
  const cursors = (await whole.atLeast(5)).map(({ cursor }) => cursor)

  await using rest = await openReady(service.url, { token, lastEventId: cursors[1] ?? '' })
  const events = await rest.atLeast(3)
  expect(events.map(({ payload }) => payload.number)).toEqual([3, 4, 5])
})

test('sends no more of what is pending than REPLAY_LIMIT, and says so', async () => {
  await using db = await database()
  {
    await using _migrates = await serve(db)
  }
  await db.sql`
    insert into kairan.notifications (channels, payload)
    select '{user-42}', jsonb_build_object('n', n) from generate_series(1, 3500) n`
  await db.sql`select kairan.number(3500)`
  // It begins at the head: all of them are behind it.
  await using service = await serve(db, { REPLAY_LIMIT: '1000' })
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  expect(await client.control('gap')).toMatchObject({ reason: 'limit' })
  // Whole pages: at least the limit, and less than one more page.
  expect(client.events.length).toBeGreaterThanOrEqual(1000)
  expect(client.events.length).toBeLessThanOrEqual(2001)
  expect(client.lastEventId).toEndWith('-3500')
  const { length } = client.events
  await eventually(async () => {
    const rows = await db.sql`select from kairan.deliveries where status = 'pending'`
    return rows.length === 3500 - length
  })
})

test('counts every stream that took a broadcast', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using one = await openReady(service.url, { token: await tokenFor('1') })
  await using two = await openReady(service.url, { token: await tokenFor('2') })
  await using tab = await openReady(service.url, { token: await tokenFor('2') })

  await db.sql`select kairan.publish('all-users', '{}')`
  await Promise.all([one.atLeast(1), two.atLeast(1), tab.atLeast(1)])
  await eventually(async () => (await statuses(db)) === 'delivered 3')
})

test('fails what expired before it could be sent, and does not send it', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })

  await db.sql`select kairan.publish('user-42', '{"late": true}', expires_at => now() - interval '1 s')`
  await db.sql`select kairan.publish('user-42', '{"late": false}', expires_at => now() + interval '1 h')`
  const [event] = await client.atLeast(1)
  expect(event?.payload.late).toBe(false)
  const failed = await eventually(async () => {
    const [row] = await db.sql`select error from kairan.deliveries where status = 'failed'`
    return row
  })
  expect(failed.error).toBe('expired')
})

test('sends again what kairan.redeliver puts back, at a new position', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const [row] = await db.sql`select kairan.publish('user-42', '{}') as id`
  await client.atLeast(1)
  await eventually(async () => (await statuses(db)) === 'delivered 1')

  await db.sql`select kairan.redeliver(${row?.id})`
  const [first, second] = await client.atLeast(2)
  expect(second?.id).toBe(row?.id)
  expect(second?.cursor).not.toBe(first?.cursor)
  await eventually(async () => (await statuses(db)) === 'delivered 1')
})

test('what is pending behind a page of expired ones is sent, too', async () => {
  await using db = await database()
  {
    await using _migrates = await serve(db)
  }
  const publish = (from: number, to: number, expires: string | null) => db.sql`
    insert into kairan.notifications (channels, payload, expires_at)
    select array['user-42'], jsonb_build_object('n', n, 'x', repeat('x', 60000)), ${expires}::timestamptz
    from generate_series(${from}::int, ${to}::int) n`
  await publish(1, 5, null)
  await publish(6, 12, '2020-01-01')
  await publish(13, 13, null)
  await publish(14, 20, '2020-01-01')
  await publish(21, 21, null)
  await db.sql`select kairan.number()`
  // Numbered already, so the dispatcher does not see that they expired: they stay pending for a while.
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const events = await client.atLeast(7)
  expect(events.map(({ payload }) => payload.n)).toEqual([1, 2, 3, 4, 5, 13, 21])
})
