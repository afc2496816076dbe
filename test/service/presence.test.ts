import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { cluster } from '../support/cluster.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

test('kairan.presence shows who has streams on any instance, and no longer when they have gone', async () => {
  await using db = await database()
  const one = await serve(db)
  await using two = await serve(db)
  await using a = await openReady(one.url, { token: await tokenFor('a') })
  await using a2 = await openReady(two.url, { token: await tokenFor('a') })
  await using b = await openReady(two.url, { token: await tokenFor('b') })
  const online = async () => {
    const rows = await db.sql`select user_id, streams from kairan.presence order by user_id`
    return rows.map(({ user_id, streams }) => `${user_id}:${streams}`).join(' ')
  }
  await eventually(async () => (await online()) === 'a:2 b:1')
  b.close()
  await eventually(async () => (await online()) === 'a:2')
  // One that ends says so.
  await one[Symbol.asyncDispose]()
  expect(await online()).toBe('a:1')
  await eventually(() => a.ended)
  expect(a2.ended).toBe(false)
})

test('a stream that ends right after a change of its channels is gone', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('a')
  const clients = await Promise.all(
    Array.from({ length: 5 }, () => openReady(service.url, { token })),
  )
  const streams = async () => (await db.sql`select from kairan.streams`).length
  await eventually(async () => (await streams()) === 5)
  for (const client of clients) {
    const { streamId } = await client.control('ready')
    const response = await fetch(`${service.url}/notifications/stream/${streamId}/channels`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ remove: ['all-users'] }),
    })
    expect(response.status).toBe(200)
    client.close()
  }
  await eventually(async () => (await streams()) === 0)
})

test('an instance that is silent does not count, and finds itself unknown when it is back', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('a') })
  const streams = async () => (await db.sql`select from kairan.presence`).length
  await eventually(async () => (await streams()) === 1)
  // As if it had been frozen for long, and another one had cleared up after it; at once, as it is not frozen.
  await db.sql.begin(async tx => {
    await tx`update kairan.instances set seen_at = now() - interval '11 seconds'`
    expect(await tx`select from kairan.presence`).toHaveLength(0)
    await tx`delete from kairan.streams`
    await tx`delete from kairan.instances`
  })
  await eventually(async () => (await streams()) === 1)
  expect(client.ended).toBe(false)
})

test('after a crash of Postgres who is there is written anew', async () => {
  await using postgres = await cluster()
  await using service = await serve(postgres)
  await using client = await openReady(service.url, { token: await tokenFor('a') })
  const streams = async () => {
    const sql = new Bun.SQL(postgres.url, { max: 1 })
    try {
      return (await sql`select user_id from kairan.presence`).length
    } finally {
      await sql.close()
    }
  }
  await eventually(async () => (await streams()) === 1)
  await postgres.stop('immediate')
  await postgres.start()
  await eventually(async () => (await streams()) === 1)
  expect(client.ended).toBe(false)
})
