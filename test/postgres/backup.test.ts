/** What docs/operating.md says of backups, with the pg_dump of the server's version. */
import { expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { run } from '../support/program.ts'
import { serve, tokenFor } from '../support/service.ts'

const url = process.env.TEST_DATABASE_URL ?? ''
const admin = postgres(url, { max: 1 })
const [server] = await admin`select current_setting('server_version_num')::int / 10000 as major`
await admin.end()
const bin = `/usr/lib/postgresql/${server?.major}/bin`

test.skipIf(!existsSync(`${bin}/pg_dump`))(
  'a restored database has the inbox and what was pending, and an old cursor is answered with all or a gap',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kairan-backup-'))
    const token = await tokenFor('42')
    await using db = await database()
    let cursor = ''
    {
      await using service = await serve(db)
      await using client = await openReady(service.url, { token })
      await db.sql`select kairan.publish('user-42', '{"n": 1}')`
      await client.atLeast(1)
      cursor = client.lastEventId ?? ''
      await db.sql`select kairan.publish('user-7', '{"n": 2}')`
      await eventually(async () => {
        const rows = await db.sql`select from kairan.deliveries where status = 'delivered'`
        return rows.length === 1
      })
    }
    await run([`${bin}/pg_dump`, '-Fc', '-f', join(folder, 'dump'), db.url])
    // After the backup: this is lost, and no stream may take its number for that of another event.
    await db.sql`select kairan.publish('user-42', '{"n": 3}')`

    await using other = await database({ empty: true })
    await run([`${bin}/pg_restore`, '--exit-on-error', '-d', other.url, join(folder, 'dump')])
    await rm(folder, { recursive: true })
    await using service = await serve(other)
    const headers = { authorization: `Bearer ${token}` }
    const inbox = await fetch(`${service.url}/notifications`, { headers })
    const { notifications } = await inbox.json()
    expect(notifications).toMatchObject([{ payload: { n: 1 } }])

    // A user who connects without a cursor is sent what waited for them.
    await using seven = await openReady(service.url, { token: await tokenFor('7') })
    expect((await seven.atLeast(1)).map(({ payload }) => payload.n)).toEqual([2])
    await other.sql`select kairan.publish('user-42', '{"n": 4}')`
    await using back = await open(service.url, { token, lastEventId: cursor })
    const { resumed } = await back.control('ready')
    if (resumed) expect((await back.atLeast(1)).map(({ payload }) => payload.n)).toEqual([4])
    else await back.control('gap')
  },
)
