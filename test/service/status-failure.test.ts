import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

test('statuses that can not be written wait, and delivery goes on', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  await db.sql.unsafe(`
    create function broken() returns trigger language plpgsql as $$ begin raise 'disk full'; end $$;
    create trigger broken before update of status on kairan.numbered
      for each row execute function broken();`)

  for (let n = 1; n <= 50; n++) await db.sql`select kairan.publish('user-42', '{}')`
  await client.atLeast(50)
  const warned = await eventually(() =>
    service.logs.find(({ sentence }) => sentence.startsWith('Statuses could not be written')),
  )
  expect(warned.facts).toMatchObject({ error: 'disk full' })
  expect(await db.sql`select from kairan.deliveries where status <> 'pending'`).toHaveLength(0)

  await db.sql`drop trigger broken on kairan.numbered`
  await eventually(async () => {
    const rows = await db.sql`
      select from kairan.deliveries where status = 'delivered' and recipients = 1`
    return rows.length === 50
  })
})

test('a write of statuses that hangs for a while holds up no event, and costs no status', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  await db.sql.unsafe(`
    create function wait() returns trigger language plpgsql as $$
      begin perform pg_advisory_xact_lock_shared(1); return new; end $$;
    create trigger wait before update of status on kairan.numbered
      for each row execute function wait();`)
  await db.sql.begin(async tx => {
    await tx`select pg_advisory_xact_lock(1)`
    for (let n = 1; n <= 3; n++) {
      await db.sql`select kairan.publish('user-42', '{}')`
      await client.atLeast(n)
    }
    expect(await db.sql`select from kairan.deliveries where status = 'pending'`).toHaveLength(3)
  })
  await eventually(async () => {
    const rows = await db.sql`select from kairan.deliveries where status = 'delivered'`
    return rows.length === 3
  })
})

test('stopping writes what is left to write', async () => {
  await using db = await database()
  {
    await using service = await serve(db)
    await using client = await openReady(service.url, { token: await tokenFor('42') })
    await db.sql`select kairan.publish('user-42', '{}')`
    await client.atLeast(1)
  }
  expect(await db.sql`select recipients from kairan.deliveries`).toMatchObject([{ recipients: 1 }])
})

test('a delivery that somebody else has locked keeps only its own status back', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  const locked = await db.sql.reserve()
  await db.sql`select kairan.publish('user-7', '{}')`
  await eventually(async () => (await db.sql`select from kairan.log where head = 1`).length)
  await locked`begin`
  await locked`select from kairan.numbered where seq = 1 for update`
  await using late = await openReady(service.url, { token: await tokenFor('7') })
  await late.atLeast(1)
  for (let n = 1; n <= 5; n++) await db.sql`select kairan.publish('user-42', '{}')`
  await client.atLeast(5)
  const delivered = async () =>
    (await db.sql`select from kairan.deliveries where status = 'delivered'`).length
  await eventually(async () => (await delivered()) === 5)
  await locked`rollback`
  locked.release()
  await eventually(async () => (await delivered()) === 6)
  expect(service.logs.filter(({ level }) => level === 'warn')).toEqual([])
})
