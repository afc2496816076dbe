import { expect, test } from 'bun:test'
import { again, expectWithin } from '../support/again.ts'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { inTime } from '../support/in-time.ts'
import { login } from '../support/logins.ts'
import { answerOf, publish, publisherToken } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

type Db = Awaited<ReturnType<typeof database>>

const statuses = async (db: Db, id: string) => [
  ...(await db.sql<{ status: string; error: string | null }[]>`
    select status, error from kairan.deliveries where notification_id = ${id}::uuid`),
]

/** Makes all that is scheduled due, as time would. */
const due = (db: Db) => db.sql`update kairan.scheduled set send_at = now()`

test('it is pending until its time, and then sent within a second', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  /** Resolves with how late it was sent, in milliseconds. */
  const send = async (ms: number) => {
    const [row] = await db.sql<{ id: string; at: number }[]>`
      with given as materialized (select clock_timestamp() + ${`${ms} ms`}::text::interval as at)
      select kairan.publish('user-42', '{"n": 1}', 't', send_at => at) as id,
        (extract(epoch from at) * 1000)::float8 as at
      from given`
    const { id = '', at = 0 } = row ?? {}
    const found = await statuses(db, id)
    const isEarly = Date.now() < at
    if (isEarly) expect(found).toEqual([{ status: 'pending', error: null }])
    const event = await eventually(() => client.events.find(event => event.id === id))
    expect(event).toMatchObject({ id, type: 't', payload: { n: 1 } })
    expect(Date.now()).toBeGreaterThanOrEqual(Math.floor(at))
    await eventually(async () => (await statuses(db, id))[0]?.status === 'delivered')
    return { isEarly, lateMs: Date.parse(event.createdAt) - at }
  }
  await inTime([1500, 5000, 10_000], async ms => {
    const { isEarly, lateMs } = await send(ms)
    return isEarly && lateMs < 1000
  })
})

test('each is sent once by two instances, and what was due while none ran is sent by the next', async () => {
  await using db = await database()
  await db.sql`
    insert into kairan.scheduled (channels, payload, send_at)
    select '{user-42}', jsonb_build_object('n', n), now() from generate_series(1, 2000) n`
  await using one = await serve(db)
  await using two = await serve(db)
  await eventually(async () => {
    const [row] =
      await db.sql`select count(*)::int as n, count(distinct payload)::int as different from kairan.notifications`
    return row?.n === 2000 && row.different === 2000
  })
  for (const { logs } of [one, two]) {
    expect(logs.filter(({ level }) => level !== 'info')).toEqual([])
  }
})

test('a withdrawn one is never sent', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const sendAt = new Date(Date.now() + 3_600_000).toISOString()
  const body = { channel: 'user-42', payload: {}, sendAt }
  const { id = '', status } = await answerOf(publish(service.url, body))
  const { id: kept } = await answerOf(publish(service.url, body))
  expect(status).toBe(201)
  const remove = async (token: string) =>
    fetch(`${service.url}/notifications/${id}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${token}` },
    })
  expect((await remove(await publisherToken('org-7'))).status).toBe(403)
  expect((await remove(await publisherToken())).status).toBe(204)
  expect((await remove(await publisherToken())).status).toBe(204)
  await due(db)
  expect((await client.atLeast(1)).map(event => event.id)).toEqual([kept ?? ''])
  await eventually(async () => {
    const [status] = await statuses(db, id)
    return status?.status === 'failed' && status.error === 'withdrawn'
  })
})

test('a key is for what is scheduled and what is published', async () => {
  await using db = await database()
  const call = async (later: boolean, payload = '{}') => {
    const [row] = await db.sql<{ id: string }[]>`
      select kairan.publish('user-42', ${payload}::text::jsonb, dedupe_key => 'k',
        send_at => case when ${later} then now() + interval '1 hour' end) as id`
    return row?.id
  }
  const id = await call(true)
  expect([await call(true), await call(false)]).toEqual([id, id])
  await expect(call(false, '{"other": 1}')).rejects.toThrow('used for another')
  await due(db)
  await db.sql`select kairan.send_due()`
  expect([await call(true), await call(false)]).toEqual([id, id])
})

test('one that can no longer be published fails, and holds up no other', async () => {
  await using db = await database()
  const ids = await db.sql<{ id: string }[]>`
    insert into kairan.scheduled (channels, payload, send_at)
    values ('{user-1}', ${`{"text": "${'x'.repeat(2000)}"}`}::text::jsonb, now()), ('{user-1}', '{}', now()) returning id`
  await db.sql`select setval('kairan.max_event_bytes', 1024)`
  await db.sql`select kairan.send_due()`
  const [bad, good] = ids.map(({ id }) => id)
  expect(await statuses(db, bad ?? '')).toEqual([
    { status: 'failed', error: expect.stringContaining('bytes') },
  ])
  expect(await statuses(db, good ?? '')).toEqual([{ status: 'pending', error: null }])
  expect((await db.sql`select from kairan.notifications`).length).toBe(1)
  await db.sql`select kairan.prune_scheduled('1 hour')`
  expect((await db.sql`select from kairan.scheduled`).length).toBe(1)
  await db.sql`select kairan.prune_scheduled('0')`
  expect((await db.sql`select from kairan.scheduled`).length).toBe(0)
})

test('what can no longer be published can be withdrawn, and thousands at once without a subtransaction each', async () => {
  await using db = await database()
  await db.sql`
    insert into kairan.scheduled (channels, payload, send_at)
    select '{user-1}', jsonb_build_object('text', repeat('x', n % 2 * 2000)), now() + interval '1 hour'
    from generate_series(1, 2000) n`
  await db.sql`select setval('kairan.max_event_bytes', 1024)`
  const [row] = await db.sql`
    with gone as materialized (select kairan.withdraw(id) as done from kairan.scheduled)
    select count(*) filter (where done)::int as gone from gone`
  expect(row?.gone).toBe(2000)
  expect((await db.sql`select from kairan.scheduled`).length).toBe(0)
  // All of one transaction id: a subtransaction has one of its own.
  const made = await db.sql`select xmin::text, count(*)::int from kairan.notifications group by 1`
  expect(made.map(({ count }) => count)).toEqual([1000])
})

test('the metrics count what waits, what is overdue and what failed', async () => {
  await using db = await database()
  await db.sql`
    insert into kairan.scheduled (channels, payload, send_at, error)
    values ('{user-1}', '{}', now() + interval '1 hour', null), ('{user-1}', '{}', now() - interval '1 hour', 'no')`
  await using service = await serve(db)
  const metrics = await (await fetch(`${service.url}/metrics`)).text()
  for (const [state, count] of [
    ['waiting', 1],
    ['overdue', 0],
    ['failed', 1],
  ]) {
    expect(metrics).toContain(`kairan_scheduled{state="${state}"} ${count}\n`)
  }
})

test('a transaction that has its key and stays open holds up no other', async () => {
  await using db = await database()
  await using service = await serve(db)
  const end = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const open = db.sql.begin(async tx => {
    await tx`select kairan.publish('user-1', '{}', dedupe_key => 'k' || n) from generate_series(1, 600) n`
    begun.resolve()
    await end.promise
  })
  await begun.promise
  await db.sql`
    insert into kairan.scheduled (channels, payload, dedupe_key, send_at)
    select '{user-1}', '{}', 'k' || n, now() - interval '1 hour' from generate_series(1, 600) n`
  let others = 0
  /** How long another one waits, in milliseconds. */
  const another = async () => {
    others++
    const begin = performance.now()
    await db.sql`insert into kairan.scheduled (channels, payload, send_at) values ('{user-2}', '{}', now())`
    await eventually(async () => {
      const rows = await db.sql`select from kairan.notifications where channels = '{user-2}'`
      return rows.length === others
    })
    return performance.now() - begin
  }
  await again(async () => expectWithin('another one', await another(), 5000))
  end.resolve()
  await open
  await eventually(async () => (await db.sql`select from kairan.scheduled`).length === 0)
  expect((await db.sql`select from kairan.notifications`).length).toBe(600 + others)
  expect(service.logs.filter(({ level }) => level === 'error')).toEqual([])
})

test('a thousand whose ids an open transaction has keep another one for seconds at most', async () => {
  await using db = await database()
  await again(async () => {
    const open = await db.sql.reserve()
    await open`begin`
    await open`
      insert into kairan.notifications (id, channels, payload)
      select md5(n::text)::uuid, '{user-1}', '{}' from generate_series(1, 1000) n`
    await db.sql`
      insert into kairan.scheduled (id, channels, payload, send_at)
      select md5(n::text)::uuid, '{user-1}', '{}', now() - interval '1 hour' from generate_series(1, 1000) n`
    await db.sql`
      insert into kairan.scheduled (channels, payload, send_at, publisher) values ('{user-2}', '{}', now(), 'role:other')`
    const begin = performance.now()
    const isSent = async () => {
      const rows = await db.sql`select from kairan.notifications where channels = '{user-2}'`
      return rows.length > 0
    }
    while (!(await isSent())) await db.sql`select kairan.send_due(250)`
    const tookMs = performance.now() - begin
    await open`rollback`
    open.release()
    await db.sql`delete from kairan.scheduled`
    await db.sql`delete from kairan.notifications`
    expectWithin('another one', tookMs, 8000)
  })
}, 120_000)

test('what could not be sent is refused at once, and a publisher may schedule but not read', async () => {
  await using db = await database()
  await using publisher = await login(db, 'kairan_publisher')
  for (const [channels, payload, at] of [
    ['{"a b"}', '{}', 'now'],
    ['{user-1}', '[]', 'now'],
    ['{user-1}', '{}', 'infinity'],
    ['{user-1}', '{}', '-infinity'],
    ['{user-1}', '{}', '10000-01-01Z'],
  ]) {
    const insert = publisher.sql`
      insert into kairan.scheduled (channels, payload, send_at)
      values (${`${channels}`}::text::text[], ${`${payload}`}::text::jsonb, ${`${at}`}::text::timestamptz)`
    await expect(Promise.resolve(insert)).rejects.toThrow('kairan: ')
  }
  await db.sql`insert into kairan.scheduled (channels, payload, send_at) values ('{user-1}', '{}', '9999-12-31Z')`
  const never = db.sql`update kairan.scheduled set send_at = 'infinity'`
  await expect(Promise.resolve(never)).rejects.toThrow('send_at_a_moment_before_the_year_10000')
  await db.sql`delete from kairan.scheduled`
  await publisher.sql`select kairan.publish('user-1', '{}', dedupe_key => 'k', send_at => now() + interval '1 hour')`
  const [row] = await db.sql`select publisher from kairan.scheduled`
  expect(row?.publisher).toBe(`role:${publisher.name}`)
  await expect(
    Promise.resolve(publisher.sql`select payload from kairan.scheduled`),
  ).rejects.toThrow('permission denied')
})

test('one that has the id of another notification is not lost in silence: it fails, and says why', async () => {
  await using db = await database()
  const [row] = await db.sql<{ id: string }[]>`select kairan.publish('user-1', '{}') as id`
  const id = row?.id ?? ''
  await db.sql`
    insert into kairan.scheduled (id, channels, payload, dedupe_key, send_at) values
      (${id}, '{user-2}', '{}', 'k', now()), (gen_random_uuid(), '{user-3}', '{}', null, now())`
  await db.sql`select kairan.send_due()`
  const left = await db.sql`select id, error from kairan.scheduled`
  expect([...left]).toEqual([{ id, error: 'kairan: another notification has this id' }])
  const sent = await db.sql`select channels from kairan.notifications order by place`
  expect(sent.map(({ channels }) => channels)).toEqual([['user-1'], ['user-3']])
})

test('a publisher that tries again does not bring back what was withdrawn, and sends what failed', async () => {
  await using db = await database()
  const call = async (key: string) => {
    const [row] = await db.sql<{ id: string }[]>`
      select kairan.publish('user-1', '{"n": 1}', dedupe_key => ${key}, send_at => now() + interval '1 hour') as id`
    return row?.id ?? ''
  }
  const withdrawn = await call('withdrawn')
  await db.sql`select kairan.withdraw(${withdrawn})`
  expect(await call('withdrawn')).toBe(withdrawn)
  await expect(
    Promise.resolve(db.sql`select kairan.publish('user-1', '{}', dedupe_key => 'withdrawn')`),
  ).rejects.toThrow('used for another')
  expect((await db.sql`select from kairan.scheduled`).length).toBe(0)
  await db.sql`select from kairan.number()`
  expect(await statuses(db, withdrawn)).toEqual([{ status: 'failed', error: 'withdrawn' }])

  const failed = await call('failed')
  await db.sql`update kairan.scheduled set error = 'too many bytes'`
  const again = await call('failed')
  expect(again).not.toBe(failed)
  expect(await call('failed')).toBe(again)
  await due(db)
  await db.sql`select kairan.send_due()`
  expect(await statuses(db, again)).toEqual([{ status: 'pending', error: null }])
  expect(await statuses(db, failed)).toEqual([{ status: 'failed', error: 'too many bytes' }])
})
