import { expect, test } from 'bun:test'
import { createMailer, type Mail } from '../../examples/orders/mailer.ts'
import { openReady } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { openExample } from '../support/example.ts'
import { tokenFor } from '../support/service.ts'

test('a customer who was away when the order shipped gets an e-mail, and who was there gets none', async () => {
  await using shop = await openExample()
  const mails: Mail[] = []
  let isBroken = true
  const stop = await createMailer(shop.databaseUrl, async mail => {
    if (isBroken) throw new Error('The mail server is away.')
    mails.push(mail)
  })
  try {
    await using ben = await openReady(shop.kairan.url, { token: await tokenFor('2') })
    await using chidi = await openReady(shop.kairan.url, { token: await tokenFor('3') })
    await shop.sql`insert into orders (user_id, item) values ('1', 'Sencha'), ('2', 'Genmaicha')`
    await shop.sql`update orders set status = 'shipped'`
    const shipped = (await ben.atLeast(2)).find(({ type }) => type === 'order.shipped')
    expect(shipped?.payload).toMatchObject({ item: 'Genmaicha', status: 'shipped', user_id: '2' })
    expect((await chidi.atLeast(4)).map(({ type }) => type).toSorted()).toEqual([
      ...['order.placed', 'order.placed', 'order.shipped', 'order.shipped'],
    ])
    const receipt = await fetch(`${shop.kairan.url}/notifications/receipts`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await tokenFor('2')}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ ids: [shipped?.id] }),
    })
    expect(receipt.status).toBe(204)
    await shop.sql`update kairan.follow_up_due set due_at = now() - interval '1 second'`
    const errorOf = async () => (await shop.sql`select error from kairan.follow_ups`)[0]?.error
    await eventually(async () => (await errorOf()) === 'The mail server is away.')
    isBroken = false
    await shop.sql`update kairan.follow_ups set available_at = now()`
    await eventually(() => mails.length > 0)
    expect(mails).toEqual([
      {
        to: 'Aiko <aiko@example.com>',
        subject: 'Your order was shipped',
        text: 'Sencha is on its way to you.',
      },
    ])
    const users = await shop.sql`select user_id from kairan.follow_ups`
    expect(users.map(({ user_id }) => user_id)).toEqual(['1'])
  } finally {
    await stop()
  }
})
