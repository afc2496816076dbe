import { expect, test } from 'bun:test'
import postgres from 'postgres'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

test('a database that ends idle sessions ends none of the service', async () => {
  await using db = await database()
  const name = new URL(db.url).pathname.slice(1)
  await db.sql.unsafe(`alter database ${name} set idle_session_timeout = 300`)
  await using service = await serve(db)
  const sql = postgres(db.url, { max: 1, connection: { idle_session_timeout: 0 } })
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  // It looks at its session far less often than that.
  await eventually(async () => {
    const old = await sql`
      select from pg_stat_activity
      where datname = current_database() and application_name = 'kairan listener'
        and backend_start < now() - interval '1.5 s'`
    return old.length === 1
  })
  await sql`select kairan.publish('user-1', '{}')`
  await client.atLeast(1)
  expect(service.logs.filter(({ level }) => level !== 'info')).toEqual([])
  await sql.end()
})
