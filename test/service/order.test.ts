import { expect, test } from 'bun:test'
import type postgres from 'postgres'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

const writers = 8
const notifications = 5000

/**
 * Writers that publish numbered notifications, each in a transaction that takes its time before it
 * commits, and often rolls back. Returns the numbers that were committed, and those that were not.
 */
const publishAtRandom = async (sql: postgres.Sql) => {
  const committed = new Set<number>()
  const rolledBack = new Set<number>()
  let next = 0
  const write = async () => {
    while (next < notifications) {
      const number = next++
      try {
        await sql.begin(async tx => {
          await tx`select kairan.publish('all-users', ${tx.json({ number })})`
          if (Math.random() < 0.3) await Bun.sleep(Math.random() * 8)
          if (Math.random() < 0.2) throw new Error('roll back')
        })
        committed.add(number)
      } catch {
        rolledBack.add(number)
      }
    }
  }
  await Promise.all(Array.from({ length: writers }, write))
  return { committed, rolledBack }
}

test('brings all that was committed, once, in the order of seq, and nothing that was rolled back', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  await using first = await openReady(one.url, { token: await tokenFor('1') })
  await using second = await openReady(two.url, { token: await tokenFor('2') })

  const { committed, rolledBack } = await publishAtRandom(db.sql)
  expect(rolledBack.size).toBeGreaterThan(0)
  await Promise.all([first.atLeast(committed.size), second.atLeast(committed.size)])

  const rows = await db.sql<{ seq: number; number: number }[]>`
    select d.seq::int as seq, (n.payload ->> 'number')::int as number
    from kairan.deliveries d join kairan.notifications n on n.id = d.notification_id order by d.seq`
  expect(rows.map(({ number }) => number).toSorted(ascending)).toEqual(
    [...committed].toSorted(ascending),
  )
  for (const client of [first, second]) {
    const got = client.events.map(({ cursor, payload }) => ({
      seq: Number(cursor?.split('-')[1]),
      number: payload.number,
    }))
    expect<unknown>(got).toEqual([...rows])
  }
})

test('the same writers defeat a reader that remembers the last id: the harness can tell', async () => {
  await using db = await database()
  await using _service = await serve(db)
  const seen = new Set<number>()
  let last = 0
  const read = async () => {
    const rows = await db.sql`
      select n.place::int as id, (n.payload ->> 'number')::int as number
      from kairan.notifications n
      where n.place > ${last} order by n.place`
    for (const { id, number } of rows) {
      last = id
      seen.add(number)
    }
  }
  let publishing = true
  const reading = (async () => {
    while (publishing) await read()
    await read()
  })()

  const { committed } = await publishAtRandom(db.sql)
  publishing = false
  await reading
  expect([...committed].filter(number => !seen.has(number)).length).toBeGreaterThan(0)
})

test('gives the streams of two instances the same events under the same ids', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  await using first = await openReady(one.url, { token: await tokenFor('42') })
  await using second = await openReady(two.url, { token: await tokenFor('42') })

  for (let number = 0; number < 20; number++) {
    await db.sql`select kairan.publish('user-42', ${db.sql.json({ number })})`
  }
  await first.atLeast(20)
  await second.atLeast(20)
  expect(first.events).toEqual(second.events)

  // Both instances count into the same row.
  await eventually(async () => {
    const rows = await db.sql`select from kairan.deliveries where recipients = 2`
    return rows.length === 20
  })
})

const ascending = (a: number, b: number) => a - b
