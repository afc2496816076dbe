import { expect, test } from 'bun:test'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { dispatched } from '../support/dispatched.ts'
import { eventually } from '../support/eventually.ts'
import { pageOf } from '../support/inbox.ts'
import { login } from '../support/logins.ts'
import { answerOf, publish, publisherToken } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

type Db = Awaited<ReturnType<typeof database>>

const send = async (db: Pick<Db, 'sql'>, channels = ['user-42'], payload = '{}') => {
  const [row] = await db.sql<{ id: string }[]>`
    select kairan.publish(array(select jsonb_array_elements_text(${db.sql.json(channels)})), ${payload}::text::jsonb) as id`
  return row?.id ?? ''
}

const withdraw = async (db: Pick<Db, 'sql'>, id: string) => {
  const [row] = await db.sql<{ done: boolean }[]>`select kairan.withdraw(${id}::uuid) as done`
  return row?.done
}

const statuses = async (db: Db, id: string) => [
  ...(await db.sql<{ status: string; error: string | null }[]>`
    select status, error from kairan.deliveries where notification_id = ${id}::uuid order by channel`),
]

const remove = async (url: string, id: string, token?: string) =>
  fetch(`${url}/notifications/${id}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${token ?? (await publisherToken())}` },
  })

test('what is pending fails with "withdrawn", and is not sent to who comes later', async () => {
  await using db = await database()
  await using service = await serve(db)
  const id = await send(db)
  const kept = await send(db)
  await dispatched(service, 2)
  expect(await withdraw(db, id)).toBe(true)
  expect(await withdraw(db, id)).toBe(false)
  expect(await withdraw(db, crypto.randomUUID())).toBe(false)
  expect(await statuses(db, id)).toEqual([{ status: 'failed', error: 'withdrawn' }])
  await using client = await open(service.url, { token: await tokenFor('42') })
  expect((await client.atLeast(1)).map(event => event.id)).toEqual([kept])
})

test('one that was sent goes from inbox, count and replays, from memory and from the log; streams hear of it', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  await using other = await openReady(service.url, { token: await tokenFor('7') })
  const start = client.lastEventId ?? ''
  const id = await send(db)
  const kept = await send(db)
  await client.atLeast(2)
  expect((await pageOf(service.url, '42')).unread).toBe(2)
  await eventually(async () => (await statuses(db, id))[0]?.status === 'delivered')
  await withdraw(db, id)

  expect(await client.control('withdrawn')).toEqual({ type: 'withdrawn', ids: [id] })
  const page = await pageOf(service.url, '42')
  expect(page.unread).toBe(1)
  expect(page.notifications.map(item => item.id)).toEqual([kept])
  expect((await statuses(db, id))[0]?.status).toBe('delivered')
  // Another instance has nothing in memory.
  await using fresh = await serve(db)
  for (const { url } of [service, fresh]) {
    await using returned = await open(url, { token: await tokenFor('42'), lastEventId: start })
    expect((await returned.atLeast(1)).map(event => event.id)).toEqual([kept])
  }
  await send(db, ['user-7'])
  await other.atLeast(1)
  expect(other.controls.map(({ type }) => type)).not.toContain('withdrawn')
})

test('nothing of it is sent, when it is withdrawn in the transaction that publishes it', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const id = await db.sql.begin(async tx => {
    const [row] = await tx<{ id: string }[]>`select kairan.publish('user-42', '{}') as id`
    await tx`select kairan.withdraw(${row?.id ?? ''}::uuid)`
    return row?.id ?? ''
  })
  const kept = await send(db)
  await client.atLeast(1)
  expect(client.events.map(event => event.id)).toEqual([kept])
  await eventually(async () => (await statuses(db, id))[0]?.error === 'withdrawn')
})

test('no stream gets an event after its "withdrawn", and no delivery stays pending, when both race', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const token = await tokenFor('42')
  const clients = [await openReady(one.url, { token }), await openReady(two.url, { token })]
  const start = clients[0]?.lastEventId ?? ''
  const race = async (n: number) => {
    const id = await send(db, ['user-42', 'user-nobody'], `{"n": ${n}}`)
    // Some at once, some while they are numbered, some when they were sent.
    if (n % 3 > 0) await Bun.sleep(Math.random() * 10 * (n % 3))
    await withdraw(db, id)
    return id
  }
  const ids: string[] = []
  for (let turn = 0; turn < 40; turn++) {
    ids.push(...(await Promise.all([1, 2, 3, 4, 5].map(n => race(turn * 5 + n)))))
    const url = turn % 2 ? one.url : two.url
    if (turn % 4 === 0) clients.push(await open(url, { token, lastEventId: start }))
  }
  const last = await send(db)
  for (const client of clients) {
    await eventually(() => client.events.some(({ id }) => id === last))
    const told = new Set<unknown>()
    for (const { event, data } of client.received) {
      const item = event === 'ping' ? {} : JSON.parse(data)
      if (event === 'message') expect(told.has(item.id)).toBe(false)
      if (item.type === 'withdrawn') for (const id of item.ids) told.add(id)
    }
    // Who was there from the first one on has been told of each that it has.
    const shown = client.events.filter(({ id }) => !told.has(id)).map(({ id }) => id)
    expect(shown).toEqual([last])
    client.close()
  }
  expect((await pageOf(one.url, '42')).unread).toBe(1)
  await eventually(async () => {
    const rows = await db.sql<{ id: string }[]>`
      select notification_id as id from kairan.deliveries where status = 'pending'`
    return rows.every(({ id }) => id === last)
  })
  const [failed] =
    await db.sql`select count(*)::int as n from kairan.numbered where error = 'withdrawn'`
  expect(failed?.n).toBeGreaterThanOrEqual(ids.length)
})

test('what was numbered while it was withdrawn does not stay pending', async () => {
  await using db = await database()
  await using service = await serve(db)
  const numbering = Promise.withResolvers<void>()
  const numbered = Promise.withResolvers<void>()
  const isHeld = Promise.withResolvers<void>()
  const holding = db.sql.begin(async tx => {
    await tx`select from kairan.locks where name = 'numbering' for update`
    isHeld.resolve()
    await numbering.promise
  })
  await isHeld.promise
  const id = await send(db)
  const withdrawing = db.sql.begin(async tx => {
    // It has no delivery yet that could be marked.
    await tx`select kairan.withdraw(${id}::uuid)`
    numbering.resolve()
    await numbered.promise
  })
  await holding
  await eventually(async () => (await db.sql`select from kairan.numbered`).length === 1)
  numbered.resolve()
  await withdrawing
  await eventually(async () => (await statuses(db, id))[0]?.error === 'withdrawn')
  expect(service.logs.filter(({ level }) => level === 'error')).toEqual([])
})

test('a withdrawal that stays open holds up no event, no status and no retention', async () => {
  await using db = await database()
  await using service = await serve(db, { RETENTION: '1h' })
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const held = await send(db)
  await client.atLeast(1)
  const late = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const open = db.sql.begin(async tx => {
    await tx`select kairan.withdraw(${held}::uuid)`
    begun.resolve()
    await late.promise
    throw new Error('rolled back')
  })
  open.catch(() => undefined)
  await begun.promise
  const event = { channel: 'user-42', payload: {}, notificationId: held }
  await db.sql`select pg_notify('kairan', ${JSON.stringify(event)})`
  const next = await send(db)
  await client.atLeast(3)
  await eventually(async () => (await statuses(db, next))[0]?.status === 'delivered')
  late.resolve()
  await expect(open).rejects.toThrow('rolled back')
  expect(client.controls.map(({ type }) => type)).not.toContain('withdrawn')
  await eventually(async () => {
    const [row] =
      await db.sql`select recipients from kairan.numbered where notification_id = ${held}::uuid`
    return row?.recipients === 2
  })
})

test('what an instance left pending when it died is marked with the changes that are removed', async () => {
  await using db = await database()
  const id = await send(db)
  await withdraw(db, id)
  await db.sql`
    insert into kairan.numbered (seq, notification_id, channel, created_at) values (1, ${id}::uuid, 'user-42', now())`
  await db.sql`update kairan.user_changes set created_at = now() - interval '1 hour'`
  await db.sql`update kairan.batches set done = pg_current_snapshot()`
  await db.sql`select kairan.prune_user_changes()`
  const rows = await db.sql`select status, error from kairan.numbered`
  expect([...rows]).toEqual([{ status: 'f', error: 'withdrawn' }])
})

test('DELETE withdraws for a token that may publish on all of its channels', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const body = { channels: ['user-42', 'org-7'], payload: {} }
  const { id = '' } = await answerOf(publish(service.url, body))
  await client.atLeast(1)
  expect((await remove(service.url, id, await tokenFor('42'))).status).toBe(403)
  const narrow = await answerOf(remove(service.url, id, await publisherToken('user-*')))
  expect(narrow).toMatchObject({ status: 403, code: 'channel_forbidden' })
  expect(JSON.stringify(narrow)).not.toContain('org-7')
  expect((await pageOf(service.url, '42')).unread).toBe(1)
  for (const unknown of [crypto.randomUUID(), 'x']) {
    expect(await answerOf(remove(service.url, unknown))).toMatchObject({
      status: 404,
      code: 'notification_not_found',
    })
  }
  const wide = await publisherToken('user-*', 'org-7')
  expect((await remove(service.url, id, wide)).status).toBe(204)
  expect((await remove(service.url, id, wide)).status).toBe(204)
  expect((await client.control('withdrawn')).ids).toEqual([id])
  expect((await pageOf(service.url, '42')).unread).toBe(0)
})

test('a login that may publish may withdraw, and one that may read may not', async () => {
  await using db = await database()
  await using publisher = await login(db, 'kairan_publisher')
  await using reader = await login(db, 'kairan_reader')
  const id = await send(publisher)
  await expect(withdraw(reader, id)).rejects.toThrow('permission denied')
  expect(await withdraw(publisher, id)).toBe(true)
})
