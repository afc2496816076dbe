/** A page's module, with types of its own. */
import { createNotifications } from '@kairan/client'
import { useNotifications } from '@kairan/client/react'

type Shop = { 'order.shipped': { orderId: number } }
export const client = createNotifications<Shop>({ url: 'https://example.com', key: '42' })
client.on('order.shipped', ({ payload }) => payload.orderId.toFixed())
// @ts-expect-error: there is no such type.
void (() => client.on('order.lost', () => undefined))
export const Bell = () => useNotifications(client).unread
client.close()
