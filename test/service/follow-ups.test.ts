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
  const body = { channel: 'user-42', payload: { n: 1 }, followUpAfter: '1s' }
  expect((await answerOf(publish(service.url, body))).status).toBe(201)
  const read = await answerOf(publish(service.url, { ...body, payload: { n: 2 } }))
  await eventually(async () => (await db.sql`select from kairan.follow_up_due`).length > 0)
  await ask(service.url, '42', { post: { ids: [read.id] } })
  await eventually(async () => (await followUps(db)).length > 0)
  const [late] = await db.sql`
    select (extract(epoch from created_at - due_at) * 1000)::int as ms from kairan.follow_ups`
  expect(late?.ms).toBeGreaterThanOrEqual(300)
  await eventually(async () => (await db.sql`select from kairan.follow_up_due`).length === 0)
  expect(await followUps(db)).toEqual(['42:1'])
  const metrics = await (await fetch(`${service.url}/metrics`)).text()
  expect(metrics).toContain('kairan_follow_ups_decided_total{outcome="made"} 1')
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
  await eventually(async () => (await db.sql`select from kairan.follow_up_due`).length === 10_000)
  await due(db)
  await db.sql`select kairan.publish('user-1', '{"n": 1}')`
  await client.atLeast(1)
  await eventually(async () => (await followUps(db)).length === 10_000)
  for (const { logs } of [one, two]) {
    expect(logs.filter(({ level }) => level !== 'info')).toEqual([])
  }
})
