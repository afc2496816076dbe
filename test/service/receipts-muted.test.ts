import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

type Mute = { type: string } | { channel: string }

const choices: Mute[][] = [
  [],
  [{ type: 'a' }],
  [{ type: 'c.*' }, { type: 'b' }],
  [{ channel: 'all-users' }],
]

const one = <T>(of: readonly T[]) => of[Math.floor(Math.random() * of.length)]

test('exactly what came is confirmed, while the user mutes and unmutes, leaves and returns to another instance', async () => {
  await using db = await database()
  await using first = await serve(db)
  await using second = await serve(db)
  const token = await tokenFor('42')
  const received = new Set<number>()
  let n = 0
  let lastEventId: string | undefined

  const publish = async (channel: string, type: string) => {
    n++
    await db.sql`select kairan.publish(${channel}, ${db.sql.json({ n })}, ${type})`
    return n
  }
  const publishSome = async (count: number) => {
    for (let i = 0; i < count; i++) {
      await publish(one(['user-42', 'all-users']) ?? '', one(['a', 'b', 'c.x', 'd']) ?? '')
    }
  }
  const muteSome = async () => {
    for (let i = 0; i < 4; i++) {
      const mutes = one(choices) ?? []
      await db.sql`select kairan.set_mutes('42', ${db.sql.json(mutes.map(mute => ({ ...mute })))})`
      await Bun.sleep(Math.random() * 30)
    }
  }
  const visit = async (url: string) => {
    const client = await openReady(url, { token, ...(lastEventId && { lastEventId }) })
    await Promise.all([publishSome(60), muteSome()])
    // Nobody mutes this one: all that comes before it has come.
    const marker = await publish('user-42', 'marker')
    await eventually(() => client.events.some(({ payload }) => payload.n === marker))
    lastEventId = client.lastEventId
    for (const { payload } of client.events) received.add(Number(payload.n))
    await client[Symbol.asyncDispose]()
  }
  for (let round = 0; round < 6; round++) {
    await visit(round % 2 === 0 ? first.url : second.url)
    // Away.
    if (round % 2 === 1) await publishSome(20)
  }
  await using _ = await openReady(first.url, { token, ...(lastEventId && { lastEventId }) })

  const confirmed = async () => {
    const rows = await db.sql<{ n: number }[]>`
      select distinct (n.payload ->> 'n')::int as n
      from kairan.confirmations c join kairan.notifications n on n.id = c.notification_id order by 1`
    return rows.map(row => row.n)
  }
  const expected = [...received].toSorted((a, b) => a - b)
  await eventually(async () => (await confirmed()).length >= expected.length)
  expect(await confirmed()).toEqual(expected)
  expect(expected.length).toBeLessThan(n)
})
