import { expect, test } from 'bun:test'
import { saveRoleLevel } from '../../src/auth/roles-store.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { denied, login, stateOf } from '../support/logins.ts'
import { serve, tokenFor } from '../support/service.ts'

/** Asks the admin API as the user boss; a body makes it a POST. */
const ask = async (url: string, path: string, body?: object) => {
  const response = await fetch(`${url}/admin/${path}`, {
    headers: {
      authorization: `Bearer ${await tokenFor('boss')}`,
      'content-type': 'application/json',
    },
    ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
  })
  return response.json()
}

test('the audit trail and the log have who changed what', async () => {
  await using db = await database()
  await using service = await serve(db, { RETENTION: '30d' })
  await saveRoleLevel(db.url, 'boss', 50)
  await saveRoleLevel(db.url, 'boss', 100)
  await db.sql`
    insert into kairan.notifications (channels, payload, created_at)
    select '{user-1}', '{}', now() - interval '31 days' from generate_series(1, 3)`
  const [row] = await db.sql`select kairan.publish('user-1', '{}', 'kept') as id`
  const id = String(row?.id)
  await eventually(async () => (await ask(service.url, 'overview')).head === 4)
  await db.sql`update kairan.numbered set status = 'd'`

  await ask(service.url, 'disconnect', { userId: '42' })
  await ask(service.url, 'redeliver', { notification: id, channel: 'user-1' })
  await eventually(async () => (await ask(service.url, 'overview')).head === 5)
  await db.sql`update kairan.numbered set status = 'd'`
  await ask(service.url, 'redeliver', { type: 'kept', status: 'delivered', limit: 10 })
  await ask(service.url, 'redeliver', { type: 'none' })
  await ask(service.url, 'prune', {})

  const { entries, next } = await ask(service.url, 'audit')
  const short = entries.map(
    ({ actor, action, target, changed }: Record<string, string | number | null>) => [
      actor,
      action,
      target,
      changed,
    ],
  )
  expect(short.slice(0, 2)).toEqual([
    ['boss', 'prune', null, 3],
    ['boss', 'redeliver', null, 1],
  ])
  const command = `command:${new URL(db.url).username}`
  expect(short.slice(2)).toEqual([
    ['boss', 'redeliver', id, 1],
    ['boss', 'disconnect', '42', null],
    [command, 'role', 'boss', null],
    [command, 'role', 'boss', null],
  ])
  expect(next).toBeNull()
  expect(JSON.parse(entries[1].detail)).toMatchObject({ type: 'kept', status: 'delivered' })
  expect(JSON.parse(entries[4].detail)).toEqual({ before: 50, after: 100 })
  const [first, rest] = [await ask(service.url, 'audit?limit=2'), `audit?limit=10&before=`]
  expect((await ask(service.url, rest + first.next)).entries).toHaveLength(4)

  const logged = service.logs.filter(
    ({ sentence }) => sentence === 'An operator changed something.',
  )
  expect(logged.map(({ level, facts }) => [level, facts])).toEqual([
    ['info', { actor: 'boss', action: 'disconnect', target: '42' }],
    ['info', { actor: 'boss', action: 'redeliver', target: id, changed: 1 }],
    ['info', { actor: 'boss', action: 'redeliver', changed: 1 }],
    ['info', { actor: 'boss', action: 'prune', changed: 3 }],
  ])
})

test('the service adds to the audit trail, changes nothing in it, and removes what is old', async () => {
  await using db = await database()
  await using service = await login(db, 'kairan_service')
  await using publisher = await login(db, 'kairan_publisher')
  await service.sql`insert into kairan.audit (actor, action) values ('boss', 'prune')`
  await db.sql`
    insert into kairan.audit (at, actor, action)
    select now() - interval '91 days', 'gone', 'prune' from generate_series(1, 3)`
  expect(await stateOf(service.sql`update kairan.audit set actor = 'other'`)).toBe(denied)
  expect(await stateOf(service.sql`delete from kairan.audit`)).toBe(denied)
  expect(await stateOf(publisher.sql`select from kairan.audit`)).toBe(denied)
  expect([...(await service.sql`select kairan.prune_audit(2) as n`)]).toEqual([{ n: 2 }])
  expect([...(await service.sql`select kairan.prune_audit(2) as n`)]).toEqual([{ n: 1 }])
  expect([...(await db.sql`select actor from kairan.audit`)]).toEqual([{ actor: 'boss' }])

  await db.sql`insert into kairan.audit (at, actor, action) values (now() - interval '91 days', 'gone', 'role')`
  await using _running = await serve(db, { RETENTION: '1m' })
  await eventually(async () => (await db.sql`select from kairan.audit`).length === 1)
})

test('nothing is done that the audit trail can not take', async () => {
  await using db = await database()
  await using service = await serve(db)
  await saveRoleLevel(db.url, 'boss', 100)
  await db.sql`alter table kairan.audit add constraint full_now check (action = 'role') not valid`
  const ends = () => db.sql`select from kairan.user_changes where change->>'action' = 'disconnect'`
  expect(await ask(service.url, 'disconnect', { userId: '42' })).toMatchObject({ status: 500 })
  expect(await ends()).toHaveLength(0)
  await db.sql`alter table kairan.audit drop constraint full_now`
  expect(await ask(service.url, 'disconnect', { userId: '42' })).toEqual({ disconnected: '42' })
  expect(await ends()).toHaveLength(1)
})
