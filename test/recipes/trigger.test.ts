import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { database } from '../support/database.ts'
import { shop } from '../support/shop.ts'

const recipeOf = (file: string) =>
  Bun.file(join(import.meta.dir, '../../docs/recipes', file)).text()

const shopWithTriggers = async () => {
  const open = await shop()
  await open.sql.unsafe(await recipeOf('trigger.sql'))
  return open
}

test('a trigger tells of what any program writes, and of nothing that is rolled back', async () => {
  await using open = await shopWithTriggers()
  await using user = await open.stream('1')
  await using admin = await open.stream('admin')
  await open.sql
    .begin(async tx => {
      await tx`insert into orders (user_id, item) values ('1', 'lamp')`
      await tx`update stock set count = count - 1 where item = 'lamp'`
    })
    .catch(error => expect(error.code).toBe('23514'))
  await open.sql`insert into orders (user_id, item) values ('1', 'tea')`
  await open.sql`update orders set status = 'placed'`
  await open.sql`update orders set item = 'TEA'`
  await open.sql`update orders set status = 'shipped'`

  const [order] = await open.sql`select id from orders`
  const id = order?.id
  for (const [stream, channel] of [
    [user, 'user-1'],
    [admin, 'admin-dashboard'],
  ] as const) {
    expect(await stream.atLeast(2)).toMatchObject([
      { channel, type: 'order.placed', payload: { id, item: 'tea', status: 'placed' } },
      { channel, type: 'order.status', payload: { id, status: 'shipped' } },
    ])
  }
  expect(await open.sql`select from kairan.notifications`).toHaveLength(2)
})

test('a trigger of your own tells once a day, until tomorrow', async () => {
  await using open = await shopWithTriggers()
  await using admin = await open.stream('admin')
  for (const count of [2, 1, 50, 2, 50])
    await open.sql`update stock set count = ${count} where item = 'tea'`
  await open.sql`update stock set count = 5 where item = 'lamp'`
  await open.sql`update stock set count = 0 where item = 'lamp'`
  expect(await admin.atLeast(2)).toMatchObject([
    { type: 'stock.low', payload: { item: 'tea', count: 2 } },
    { type: 'stock.low', payload: { item: 'lamp', count: 0 } },
  ])
  const rows = await open.sql`
    select expires_at > now() + interval '23 hours' as later from kairan.notifications`
  expect([...rows]).toEqual([{ later: true }, { later: true }])
})

test('what can not be published fails the write with publish_row, and not with try_publish', async () => {
  await using open = await shopWithTriggers()
  await expect(
    open.sql`insert into orders (user_id, item) values ('a b', 'tea')`.execute(),
  ).rejects.toMatchObject({ message: 'kairan: unknown channel "user-a b"', code: '22023' })
  expect(await open.sql`select from orders`).toHaveLength(0)

  const item = 'x'.repeat(200)
  await open.sql`insert into stock values (${item}, 3)`
  await open.sql`update stock set count = 2 where item = ${item}`
  expect([...(await open.sql`select count from stock where item = ${item}`)]).toEqual([
    { count: 2 },
  ])
  expect(await open.sql`select from kairan.notifications`).toHaveLength(0)
})

test('a thousand rows in one update are one notification for each user', async () => {
  await using open = await shop()
  await open.sql.unsafe(await recipeOf('trigger-bulk.sql'))
  await using user = await open.stream('1')
  await open.sql`
    insert into orders (id, user_id, item)
    select i, (i % 2)::text, 'tea' from generate_series(1, 1000) i`
  await open.sql`update orders set status = 'shipped' where id > 10`
  await open.sql`update orders set status = 'shipped' where id in (1, 3, 4, 999)`
  await open.sql`update orders set item = 'TEA'`
  const odd = Array.from({ length: 500 }, (_, index) => 2 * index + 1)
  expect(await user.atLeast(2)).toMatchObject([
    { type: 'orders.shipped', payload: { orderIds: odd.filter(id => id > 10) } },
    { type: 'orders.shipped', payload: { orderIds: [1, 3] } },
  ])
  expect(await open.sql`select from kairan.notifications`).toHaveLength(4)
})

test('a guarded migration runs without Kairan, and publishes with it', async () => {
  const guarded = await recipeOf('trigger-guarded.sql')
  await using without = await database()
  await without.sql.unsafe(`${await recipeOf('shop.sql')}; ${guarded}`)
  await without.sql`insert into orders (user_id, item) values ('1', 'tea')`

  await using open = await shop()
  await using user = await open.stream('1')
  await open.sql.unsafe(guarded)
  await open.sql`insert into orders (user_id, item) values ('1', 'tea')`
  expect(await user.atLeast(1)).toMatchObject([{ type: 'order.placed', payload: { item: 'tea' } }])
})

test('an insert whose key was used before fails, unless it says what to do', async () => {
  await using open = await shop()
  const insert = (rest: string) =>
    open.sql.unsafe(
      `insert into kairan.notifications (channels, payload, dedupe_key) values ('{user-1}', '{}', 'k') ${rest}`,
    )
  await insert('')
  await expect(insert('').execute()).rejects.toMatchObject({ code: '23505' })
  const again = 'on conflict do nothing returning id'
  expect(await insert(again)).toHaveLength(0)
})
