import { expect, setDefaultTimeout, test } from 'bun:test'
import postgres from 'postgres'
import { openReady } from '../support/client.ts'
import { cluster } from '../support/cluster.ts'
import { serve, tokenFor } from '../support/service.ts'

setDefaultTimeout(120_000)

test('when a stranger has filled the NOTIFY queue, publishing still commits, and arrives', async () => {
  // The smallest queue that Postgres has: 64 pages of 8 KiB.
  await using server = await cluster({ max_notify_queue_pages: '64' })
  await using service = await serve(server)
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  const sql = postgres(server.url, { max: 3, onnotice: () => undefined })
  const stranger = await sql.reserve()
  // A LISTEN whose session stays in a transaction keeps everything that is sent from then on.
  await stranger`listen kairan_stuck`
  await stranger`begin`
  await stranger`select 1`
  const usage = async () => {
    const [row] = await sql<{ usage: number }[]>`select pg_notification_queue_usage() as usage`
    return row?.usage ?? 0
  }
  const fill = () =>
    sql`select pg_notify('kairan_stuck', n || repeat('x', 7000)) from generate_series(1, 4) n`
  let filled = true
  while (filled)
    filled = await fill().then(
      () => true,
      () => false,
    )
  expect(await usage()).toBeGreaterThan(0.9)
  await expect(
    sql`select pg_notify('other', repeat('x', 7000)) from generate_series(1, 9)`,
  ).rejects.toThrow('too many notifications in the NOTIFY queue')

  await sql`select kairan.publish('user-1', '{"n": 1}')`
  await sql.begin(async tx => {
    await tx`insert into kairan.notifications (channels, payload) values ('{user-1}', '{"n": 2}')`
  })
  const events = await client.atLeast(2)
  expect(events.map(({ payload }) => payload.n)).toEqual([1, 2])
  await stranger`rollback`
  stranger.release()
  await sql.end()
})
