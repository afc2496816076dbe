import { expect, test } from 'bun:test'
import { connect } from '../../src/postgres/connect.ts'
import { arm, bitten } from '../support/attack/attack.ts'
import { openReady } from '../support/client.ts'
import { login } from '../support/logins.ts'
import { migrated } from '../support/schema.ts'
import { serve, tokenFor } from '../support/service.ts'

test('delivers in a database whose default is serializable, from publishers at any level', async () => {
  await using db = await migrated()
  const name = new URL(db.url).pathname.slice(1)
  await db.sql.unsafe(`alter database ${name} set default_transaction_isolation = 'serializable'`)
  await using service = await serve(db)
  const levels = ['read committed', 'repeatable read', 'serializable']
  const token = await tokenFor('1')
  await using client = await openReady(service.url, { token })
  await Promise.all(
    Array.from({ length: 60 }, (_, n) =>
      db.sql.begin(`isolation level ${levels[n % 3]}`, async sql => {
        await sql`select kairan.publish('user-1', ${sql.json({ n })})`
      }),
    ),
  )
  await client.atLeast(60)
  expect(new Set(client.events.map(({ payload }) => payload.n)).size).toBe(60)
  await using again = await openReady(service.url, { token })
  await fetch(`${service.url}/notifications/read`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ids: client.events.map(({ id }) => id) }),
  })
  await again.control('read')
  expect(service.logs.filter(({ level }) => level === 'error')).toEqual([])
})

test('every session of Kairan reads what is committed, and names nothing by the search_path of others', async () => {
  await using db = await migrated()
  const name = new URL(db.url).pathname.slice(1)
  await db.sql.unsafe(`
    alter database ${name} set default_transaction_isolation = 'repeatable read';
    alter database ${name} set search_path = public`)
  const sql = connect(db.url, { max: 1, name: 'kairan test', direct: true })
  const [row] = await sql`
    select current_setting('transaction_isolation') as isolation, current_setting('search_path') as path`
  await sql.end()
  expect(row).toEqual({ isolation: 'read committed', path: 'pg_catalog, pg_temp' })
})

test('no function or operator that a login puts into the search_path is run by who serves', async () => {
  await using db = await migrated()
  await using attacker = await login(db)
  await arm(db, attacker)
  const name = new URL(db.url).pathname.slice(1)
  await db.sql.unsafe(`alter database ${name} set search_path = pg_catalog, evil, public`)
  await using service = await serve(db)
  const token = await tokenFor('1')
  await using client = await openReady(service.url, { token })
  await db.sql`select kairan.publish('user-1', '{}')`
  await client.atLeast(1)
  for (const path of ['/notifications', '/readyz', '/metrics']) {
    await fetch(`${service.url}${path}`, { headers: { authorization: `Bearer ${token}` } })
  }
  expect(await bitten(db, attacker)).toEqual([])
})
