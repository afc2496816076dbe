import { expect, test } from 'bun:test'
import { join } from 'node:path'
import postgres from 'postgres'
import { shop } from '../support/shop.ts'

const recipe = await Bun.file(join(import.meta.dir, '../../docs/recipes/grants.sql')).text()

test('a role with these grants publishes in every way, and reads nothing', async () => {
  await using open = await shop()
  const role = `shop_${crypto.randomUUID().slice(0, 8)}`
  await open.sql.unsafe(`create role ${role} login password 'shop'`)
  await using _ = {
    [Symbol.asyncDispose]: async () => {
      await open.sql.unsafe(`drop owned by ${role}`)
      await open.sql.unsafe(`drop role ${role}`)
    },
  }
  await open.sql.unsafe(recipe.replaceAll('to shop;', `to ${role};`))
  await open.sql.unsafe(`
    grant insert, select on orders to ${role};
    create trigger notify after insert on orders for each row
      execute function kairan.publish_row('user-{user_id}')`)
  const url = Object.assign(new URL(open.url), { username: role, password: 'shop' }).toString()
  const sql = postgres(url, { max: 1 })
  await using stream = await open.stream('1')

  await sql`select kairan.publish('user-1', '{"n": 1, "metadata": {}}', 'a', dedupe_key => 'k')`
  await sql`select kairan.publish('user-1', '{"n": 1}', dedupe_key => 'k')`
  await sql`select kairan.publish(array['user-1', 'user-1', 'all-users'], '{"n": 2}')`
  await sql`insert into kairan.notifications (channels, payload) values ('{user-1}', '{"n": 3}') returning id`
  await sql`insert into orders (user_id, item) values ('1', 'tea')`
  const events = await stream.atLeast(5)
  expect(events.map(({ payload }) => payload.n ?? payload.item)).toEqual([1, 2, 2, 3, 'tea'])

  for (const table of ['notifications', 'deliveries', 'log', 'roles', 'tickets']) {
    await expect(sql.unsafe(`select * from kairan.${table}`).execute()).rejects.toMatchObject({
      code: '42501',
    })
  }
  await sql.end()
})
