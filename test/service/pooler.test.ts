import { expect, setDefaultTimeout, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { pgbouncer } from '../support/pgbouncer.ts'
import { publish } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

setDefaultTimeout(60_000)

test('serves behind a transaction pooler that knows no prepared statements', async () => {
  await using db = await database()
  await using pooler = await pgbouncer(db.url, { default_pool_size: '4' })
  await using service = await serve({ url: pooler.url }, { DATABASE_LISTEN_URL: db.url })
  const { url } = service
  const token = await tokenFor('1')
  await using stream = await openReady(url, { token })

  const statuses = await Promise.all(
    Array.from({ length: 40 }, async (_, n) => [
      (await publish(url, { channel: 'user-1', payload: { n } })).status,
      (await fetch(`${url}/notifications`, { headers: { authorization: `Bearer ${token}` } }))
        .status,
      (
        await fetch(`${url}/notifications/read`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: '{"all":true}',
        })
      ).status,
    ]),
  )
  expect([...new Set(statuses.map(String))]).toEqual(['201,200,200'])
  await stream.atLeast(40)
  expect(service.logs.filter(({ level }) => level === 'error')).toEqual([])
})
