import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { ask } from '../support/inbox.ts'
import { answerOf, publish } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

const followUps = async ({ sql }: TestDatabase) =>
  (
    await sql<{ pair: string }[]>`
      select user_id || ':' || (payload ->> 'n') as pair from kairan.follow_ups order by 1`
  ).map(({ pair }) => pair)

/** Makes all that waits due, as time would. */
const due = (db: TestDatabase) =>
  db.sql`update kairan.follow_up_due set due_at = now() - interval '1 second'`

test('followUpAfter: within a second of its time a follow-up is made, but not of what was read', async () => {
  await using db = await database()
  await using service = await serve(db)
  const send = (n: number, followUpAfter: string) =>
    answerOf(publish(service.url, { channel: 'user-42', payload: { n }, followUpAfter }))
  // It is read before its time, however long that takes.
  const read = await send(2, '1h')
  await eventually(async () => (await db.sql`select from kairan.follow_up_due`).length === 1)
  await ask(service.url, '42', { post: { ids: [read.id] } })
  await due(db)
  expect((await send(1, '1s')).status).toBe(201)
  await eventually(async () => (await followUps(db)).length > 0)
  const [late] = await db.sql`
    select (extract(epoch from created_at - due_at) * 1000)::int as ms from kairan.follow_ups`
  expect(late?.ms).toBeGreaterThanOrEqual(300)
  await eventually(async () => (await db.sql`select from kairan.follow_up_due`).length === 0)
  expect(await followUps(db)).toEqual(['42:1'])
  // The service counts when it has the answer of Postgres.
  const made = 'kairan_follow_ups_decided_total{outcome="made"} 1'
  await eventually(async () =>
    (await (await fetch(`${service.url}/metrics`)).text()).includes(made),
  )
})

test('what a stream took is followed up, until its client returns with a later cursor', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  const client = await openReady(service.url, { token })
  const send = (n: number) =>
    db.sql`select kairan.publish('user-42', ${db.sql.json({ n })}, follow_up_after => '1 hour')`
  for (const n of [1, 2]) await send(n)
  await client.atLeast(2)
  await client[Symbol.asyncDispose]()
  await using _back = await openReady(service.url, {
    token,
    lastEventId: client.events[0]?.cursor ?? '',
  })
  await eventually(async () => (await db.sql`select from kairan.follow_up_due`).length === 1)
  await due(db)
  await eventually(async () => (await followUps(db)).length > 0)
  expect(await followUps(db)).toEqual(['42:2'])
})

test('a time that is none, and a channel that has no follow-ups, are refused in words', async () => {
  await using db = await database()
  await using service = await serve(db)
  const refused = async (body: object) => {
    const { status, detail } = await answerOf(publish(service.url, { payload: {}, ...body }))
    return `${status} ${detail}`
  }
  expect(await refused({ channel: 'user-1', followUpAfter: '5 minutes' })).toBe(
    '400 followUpAfter has to be a time like 90s, 5m, 12h or 7d, not "5 minutes".',
  )
  expect(await refused({ channel: 'user-1', followUpAfter: '31d' })).toContain(
    '1 second to 30 days',
  )
  expect(await refused({ channel: 'all-users', followUpAfter: '5m' })).toContain(
    'there are no follow-ups on the channel "all-users"',
  )
})

test('two instances make ten thousand that are due at once, each once, and delay no event meanwhile', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  await using client = await openReady(one.url, { token: await tokenFor('1') })
  await db.sql`
    insert into kairan.notifications (channels, payload, follow_up_after)
    select array['user-' || u], jsonb_build_object('n', u), '1 hour' from generate_series(1001, 11000) u`
  const count = async (table: 'follow_up_due' | 'follow_ups') => {
    const [row] = await db.sql`select count(*)::int as n from ${db.sql(`kairan.${table}`)}`
    return row?.n
  }
  await eventually(async () => (await count('follow_up_due')) === 10_000)
  await due(db)
  await db.sql`select kairan.publish('user-1', '{"n": 1}')`
  await client.atLeast(1)
  await eventually(async () => (await count('follow_ups')) === 10_000)
  expect(new Set(await followUps(db)).size).toBe(10_000)
  for (const { logs } of [one, two]) {
    expect(logs.filter(({ level }) => level !== 'info')).toEqual([])
  }
})
