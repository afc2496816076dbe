import { expect, setDefaultTimeout, test } from 'bun:test'
import { connect } from '../../src/postgres/connect.ts'
import { migrated } from '../support/schema.ts'

setDefaultTimeout(60_000)

test('a user with twenty streams of a thousand channels each keeps no receipts from being written', async () => {
  await using db = await migrated()
  const deliveries = 5000
  await db.sql`
    insert into kairan.numbered (seq, notification_id, channel, created_at)
    select n, gen_random_uuid(), 'org-' || n % 1000, now() from generate_series(1, ${deliveries}::int) n`
  await db.sql`
    insert into kairan.batches (n, head, done, done_place, place)
    select n + 1, ${deliveries}::int, done, done_place, place from kairan.batches`
  const client = connect(db.url, { max: 1, name: 'test', direct: true })
  await client`set statement_timeout = '8s'`
  const channels = Array.from({ length: 1000 }, (_, n) => `org-${n}`)
  const record = (since: number, step: number, cursors: number[]) => {
    const streams = Array.from({ length: 20 }, (_, n) => ({
      userId: '1',
      // They share all but one.
      channels: channels.filter((_, index) => index !== n),
      skipped: { 'org-500': [[1500, 1500]], 'org-501': [[1501, 1501]] },
      pending: [],
      since: since + step * n,
      seq: 4500 + n,
    }))
    const returned = cursors.map(cursor => ({ userId: '1', since: cursor, seq: cursor }))
    return client`select kairan.record_unconfirmed(${client.json([...streams, ...returned])})`
  }
  const receipts = () => db.sql<{ channel: string; since: number; seq: number }[]>`
    select channel, since::int, seq::int from kairan.receipts order by channel, since`

  const cursors = [2021, 2121, 2222, 2323, 2424]
  await record(100, 1, cursors)
  // Of the stream that proves the least, and of the channels that all of them have.
  const plain = channels.slice(20).filter(name => !/^org-50[01]$/.test(name))
  const expected = cursors.flatMap(seq => plain.map(channel => ({ channel, since: 119, seq })))
  // Beyond what they skipped there is nothing.
  expected.push({ channel: 'org-500', since: 119, seq: 1499 })
  expected.push({ channel: 'org-501', since: 119, seq: 1500 })
  const sorted = (rows: Iterable<(typeof expected)[number]>) =>
    [...rows].map(({ channel, since, seq }) => `${channel} ${since} ${seq}`).toSorted()
  expect(sorted(await receipts())).toEqual(sorted(expected))

  // It goes on where it was: of one hour there is one row.
  await db.sql`delete from kairan.unconfirmed`
  await db.sql`delete from kairan.receipts where seq <> 2424`
  await record(2424, 0, [3500])
  await client.end()
  const goingOn = plain.map(channel => ({ channel, since: 119, seq: 3500 }))
  const others = ['org-500', 'org-501'].map(channel => ({ channel, since: 2424, seq: 3500 }))
  expect(sorted(await receipts())).toEqual(sorted([...goingOn, ...others]))
})
