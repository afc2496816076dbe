import { expect, test } from 'bun:test'
import { join } from 'node:path'
import * as nodePostgres from '../../docs/recipes/drizzle.pg.ts'
import * as recipe from '../../docs/recipes/drizzle.ts'
import { castToText, channelsAsRecord, encodedTwice } from '../../docs/recipes/mistakes.ts'
import { run } from '../support/program.ts'
import { testRecipe, twice } from '../support/recipe.ts'
import { shop } from '../support/shop.ts'

testRecipe('Drizzle', async url => {
  const db = recipe.connect(url)
  return {
    placeOrder: (userId, item) => recipe.placeOrder(db, userId, item),
    remind: (userId, orderId) => recipe.remind(db, userId, orderId),
    announce: text => recipe.announce(db, text),
    asText: async () => castToText.drizzle(db),
    mistakes: {
      'JSON.stringify for a jsonb column': {
        make: async () => encodedTwice.drizzle(db),
        ...twice,
      },
      'channels without sql.param': {
        make: async () => channelsAsRecord(db),
        says: 'function kairan.publish(record, unknown) does not exist',
        advises: 'explicit type casts',
      },
    },
    close: () => db.$client.end(),
  }
})

test('Drizzle over node-postgres does the same in a transaction', async () => {
  await using open = await shop()
  const db = nodePostgres.connect(open.url)
  await using user = await open.stream('1')
  await expect(recipe.placeOrder(db, '1', 'lamp')).rejects.toThrow()
  const id = await recipe.placeOrder(db, '1', 'tea')
  expect(await user.atLeast(1)).toMatchObject([{ id, payload: { item: 'tea' } }])
  await db.$client.end()
})

test('drizzle-kit push leaves the schema kairan alone, and triggers that publish', async () => {
  await using open = await shop()
  await open.sql.unsafe(`
    drop table orders, stock;
    create table orders (id int primary key generated always as identity, user_id text not null);
    create trigger notify after insert on orders for each row
      execute function kairan.publish_row('user-{user_id}')`)
  const objects = () => open.sql`
    select pg_describe_object(classid, objid, 0) as name from pg_depend
    where refclassid = 'pg_namespace'::regclass and refobjid = 'kairan'::regnamespace order by 1`
  const before = await objects()
  expect(before.length).toBeGreaterThan(20)

  const printed = await run(
    [process.execPath, '--bun', 'node_modules/.bin/drizzle-kit', 'push', '--force'],
    { cwd: join(import.meta.dir, '../../docs/recipes'), env: { DATABASE_URL: open.url } },
  )
  expect(printed).toContain('Changes applied')
  expect([...(await objects())]).toEqual([...before])

  await using stream = await open.stream('7')
  await open.sql`insert into orders (user_id, item) values ('7', 'tea')`
  expect(await stream.atLeast(1)).toMatchObject([{ payload: { user_id: '7', item: 'tea' } }])
})
