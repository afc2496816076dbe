import { expect, test } from 'bun:test'
import { saveRoleLevel } from '../../src/auth/roles-store.ts'
import { ask } from '../support/admin.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'

type Listed = { id: string; type: string; state: string; channels: string[] }

test('lists what is scheduled by when it is due, with what is overdue and what failed, by state, channel and type', async () => {
  await using db = await database()
  await using service = await serve(db)
  await saveRoleLevel(db.url, 'boss', 100)
  // Frozen, so that what is overdue stays.
  await db.sql`alter function kairan.send_due(int) rename to sends_nothing`
  await db.sql`
    insert into kairan.scheduled (channels, payload, type, send_at, error) values
      ('{user-1}', '{}', 'soon', now() + interval '1 hour', null),
      ('{user-2,org-7}', '{}', 'late', now() - interval '1 minute', null),
      ('{user-1}', '{}', 'bad', now() - interval '1 hour', 'the payload has too many bytes'),
      (array(select 'org-' || n from generate_series(1, 20) n), '{}', 'far', now() + interval '8000 years' - interval '100 years', null)`

  const of = async (query: string): Promise<string[]> => {
    const { scheduled } = await ask(service.url, `scheduled?${query}`)
    return scheduled.map(({ type, state }: Listed) => `${type} ${state}`)
  }
  expect(await of('')).toEqual(['bad failed', 'late overdue', 'soon waiting', 'far waiting'])
  expect(await of('state=failed')).toEqual(['bad failed'])
  expect(await of('state=overdue')).toEqual(['late overdue'])
  expect(await of('state=waiting')).toEqual(['soon waiting', 'far waiting'])
  expect(await of('channel=org-7')).toEqual(['late overdue', 'far waiting'])
  expect(await of('channel=user-1&type=soon')).toEqual(['soon waiting'])
  const { scheduled, next } = await ask(service.url, 'scheduled')
  expect(next).toBeNull()
  expect(scheduled[0]).toMatchObject({ error: 'the payload has too many bytes', channelCount: 1 })
  expect(scheduled[1]).toMatchObject({ publisher: expect.stringMatching(/^role:/), error: null })
  expect([scheduled[3].channels.length, scheduled[3].channelCount]).toEqual([10, 20])
  expect((await ask(service.url, 'scheduled?state=lost')).status).toBe(400)
  expect((await ask(service.url, 'scheduled?before=1_x')).status).toBe(400)
  expect((await ask(service.url, 'scheduled', undefined, 'mallory')).status).toBe(403)

  const [{ id }] = scheduled.slice(1)
  const explained = async (of: string) =>
    (await ask(service.url, `explain?notification=${of}&user=2`)).sentence
  expect(await explained(id)).toContain('No instance that numbers has done so')
  expect(await explained(scheduled[2].id)).toStartWith('It is scheduled: it will be sent at 20')
  expect(await explained(scheduled[0].id)).toContain('too many bytes')
  expect(await ask(service.url, `notifications/${id}`)).toMatchObject({
    type: 'late',
    isWithdrawn: false,
    sendAt: scheduled[1].sendAt,
    deliveries: [{ status: 'pending' }, { status: 'pending' }],
  })
})

test('a page follows the other without a gap, also of a thousand that are due at the same moment', async () => {
  await using db = await database()
  await using service = await serve(db)
  await saveRoleLevel(db.url, 'boss', 100)
  await db.sql`
    insert into kairan.scheduled (channels, payload, send_at, error)
    select array['user-' || n], '{}', '9999-12-30T23:59:59.123457Z'::timestamptz + n / 500 * interval '1 microsecond',
      case when n % 10 = 0 then 'no' end
    from generate_series(1, 1000) n`
  const ids = await db.sql<{ id: string }[]>`select id from kairan.scheduled order by send_at, id`
  const seen: string[] = []
  for (let before: string | null = ''; before !== null; ) {
    const page: { scheduled: Listed[]; next: string | null } = await ask(
      service.url,
      `scheduled?limit=100&before=${before}`,
    )
    seen.push(...page.scheduled.map(({ id }) => id))
    before = page.next
  }
  expect(seen).toEqual(ids.map(({ id }) => id))
})

test('an admin withdraws what is scheduled or was sent, once, and the audit trail says so', async () => {
  await using db = await database()
  await using service = await serve(db)
  await saveRoleLevel(db.url, 'boss', 100)
  const [row] = await db.sql<{ later: string; now: string; failed: string }[]>`
    select kairan.publish('user-1', '{}', send_at => now() + interval '1 hour') as later,
      kairan.publish('user-1', '{}') as now, gen_random_uuid()::text as failed`
  const { later = '', now = '' } = row ?? {}
  await eventually(async () => (await db.sql`select from kairan.numbered`).length === 1)
  const withdraw = (notification: string, user?: string) =>
    ask(service.url, 'withdraw', { notification }, user)
  expect(await withdraw(later, 'mallory')).toMatchObject({ status: 403 })
  for (const id of [later, now]) {
    expect(await withdraw(id)).toMatchObject({ status: 200, withdrawn: id })
    expect(await withdraw(id)).toMatchObject({ status: 404 })
  }
  expect((await ask(service.url, 'withdraw', { notification: 'x' })).status).toBe(400)
  expect((await ask(service.url, 'withdraw', {})).status).toBe(400)
  expect((await db.sql`select from kairan.scheduled`).length).toBe(0)
  expect(await ask(service.url, `notifications/${now}`)).toMatchObject({
    isWithdrawn: true,
    expiresAt: null,
    deliveries: [{ status: 'failed', error: 'withdrawn' }],
  })
  const { entries } = await ask(service.url, 'audit')
  expect(
    entries
      .slice(0, 3)
      .map(({ actor, action, target }: Record<string, string>) => [actor, action, target]),
  ).toEqual([
    ['boss', 'withdraw', now],
    ['boss', 'withdraw', later],
    [expect.stringContaining('command:'), 'role', 'boss'],
  ])
})

test('a dashboard that is read-only lists and withdraws nothing', async () => {
  await using db = await database()
  await using service = await serve(db, { DASHBOARD: 'readonly' })
  await saveRoleLevel(db.url, 'boss', 100)
  await db.sql`select kairan.publish('user-1', '{}', send_at => now() + interval '1 hour')`
  const { scheduled } = await ask(service.url, 'scheduled')
  expect(scheduled).toHaveLength(1)
  const answer = await ask(service.url, 'withdraw', { notification: scheduled[0].id })
  expect(answer).toMatchObject({ status: 403, code: 'read_only' })
  expect((await db.sql`select from kairan.scheduled`).length).toBe(1)
})
