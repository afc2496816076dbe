import { expect, test } from 'bun:test'
import { migrate } from '../../src/postgres/migrate.ts'
import { fromSource } from '../support/binary.ts'
import { open, openReady } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { login } from '../support/logins.ts'
import { tokenWith } from '../support/publish.ts'
import { migrated } from '../support/schema.ts'
import { secret, serve, tokenFor } from '../support/service.ts'
import { ticketFor } from '../support/tickets.ts'

test('serves as a member of kairan_service and nothing else', async () => {
  await using db = await migrated()
  await using server = await login(db, 'kairan_service')
  await using service = await serve(server, { RETENTION: '90s' })
  const deliveries = () => db.sql`
    select channel, status, error from kairan.deliveries`

  await using stream = await openReady(service.url, { token: await tokenFor('42') })
  const response = await fetch(`${service.url}/notifications`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await tokenWith({ sub: 'shop', scope: 'kairan:publish' })}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ channel: 'user-42', payload: { n: 1 }, dedupeKey: 'a' }),
  })
  expect(response.status).toBe(201)
  const { id }: { id: string } = await response.json()
  await stream.atLeast(1)
  await eventually(async () => (await deliveries())[0]?.status === 'delivered')

  // The status of what is not in time, a replay, a ticket, the live path.
  await db.sql`select kairan.publish('user-7', '{}', expires_at => now() + interval '300 ms')`
  await eventually(async () => (await deliveries()).some(({ error }) => error === 'expired'))
  await server.sql`select kairan.redeliver(${id})`
  await stream.atLeast(2)
  await using other = await open(service.url, {
    query: `?ticket=${await ticketFor(service.url, '43')}`,
  })
  await other.control('ready')
  await db.sql`select pg_notify('kairan', '{"channel": "user-42", "payload": {"live": true}}')`
  expect((await stream.atLeast(3))[2]?.payload.live).toBe(true)

  // A role level that somebody else writes.
  await db.sql`insert into kairan.roles values ('42', 100)`
  await eventually(async () => {
    await db.sql`select kairan.publish('admin-dashboard', '{}')`
    return stream.events.some(({ channel }) => channel === 'admin-dashboard')
  })
  await db.sql`select kairan.disconnect('43')`
  await other.control('revoked')

  await eventually(async () => {
    await db.sql`update kairan.numbered set created_at = now() - interval '1 hour'`
    return (await deliveries()).length === 0
  })
  expect(service.logs.filter(({ level }) => level !== 'info')).toEqual([])
})

test('says who has to migrate, when it may not', async () => {
  await using db = await migrated()
  await using server = await login(db, 'kairan_service')
  expect(await migrate(server.url)).toEqual([])
  await db.sql`delete from kairan.migrations`
  await using child = Bun.spawn([...fromSource, 'start'], {
    env: { DATABASE_URL: server.url, JWT_SECRET: secret, PORT: '0' },
    stdout: 'ignore',
    stderr: 'pipe',
  })
  expect(await child.exited).toBe(1)
  const message = await new Response(child.stderr).text()
  expect(message).toContain('permission denied for schema kairan')
  expect(message).toContain('Run `kairan migrate` with the login that owns the schema kairan')
})
