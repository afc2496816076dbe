import { expect, test } from 'bun:test'
import { createNotifications } from '../../src/client/index.ts'

/** Declared as apps do, as a type or as an interface. */
type Shop = {
  'order.shipped': { orderId: number }
  'order.lost': { orderId: number; reason: string }
}

test('events have the types that the app has declared, checked by tsc', () => {
  // It is never called: what it says has to compile, and what is expected to be wrong, not to.
  const use = () => {
    const shop = createNotifications<Shop>({ url: 'http://127.0.0.1' })
    shop.on('order.shipped', ({ payload, type }) => {
      const id: number = payload.orderId
      const name: 'order.shipped' = type
      const channel: string = payload.metadata.deliveryChannel
      return [id, name, channel]
    })
    shop.on('*', event => {
      if (event.type === 'order.lost') return event.payload.reason.length
      // @ts-expect-error: only a lost order has a reason.
      return event.payload.reason
    })
    // @ts-expect-error: there is no such type.
    shop.on('order.shiped', () => undefined)
    // @ts-expect-error: an order has no colour.
    shop.on('order.shipped', ({ payload }) => payload.colour)

    const any = createNotifications()
    any.on('whatever', ({ payload }) => {
      const value: unknown = payload.orderId
      // @ts-expect-error: nothing is known of it.
      const number: number = payload.orderId
      return [value, number]
    })
    return async () => {
      for await (const event of shop)
        if (event.type === 'order.shipped') return event.payload.orderId
      return (await shop.list({ unread: true })).notifications[0]?.read
    }
  }
  expect(use).toBeFunction()
})
