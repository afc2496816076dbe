import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { openExample } from '../support/example.ts'
import { tokenFor } from '../support/service.ts'

test('the shop is reminded of an order that waits, and not of one that was shipped or cancelled', async () => {
  await using shop = await openExample()
  await using chidi = await openReady(shop.kairan.url, { token: await tokenFor('3') })
  await shop.sql`insert into orders (user_id, item) values ('1', 'Sencha'), ('1', 'Hojicha'), ('2', 'Gyokuro')`
  expect(await shop.sql`select from kairan.scheduled`).toHaveLength(3)
  await shop.sql`update orders set status = 'shipped' where item = 'Sencha'`
  await shop.sql`update orders set status = 'cancelled' where item = 'Hojicha'`
  const waiting =
    await shop.sql`select payload ->> 'item' as item from kairan.scheduled where error is null`
  expect(waiting.map(({ item }) => item)).toEqual(['Gyokuro'])

  // Thirty seconds later.
  await shop.sql`update kairan.scheduled set send_at = now() - interval '1 second'`
  const reminded = (await chidi.atLeast(6)).slice(5)
  expect(reminded.map(({ type, payload }) => [type, payload.item])).toEqual([
    ['order.waiting', 'Gyokuro'],
  ])
})
