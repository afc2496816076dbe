/** Every entry of the browser's package, typed. */
import { createNotifications } from '@kairan/client'
import { KairanBell } from '@kairan/client/element'
import { createInbox, type InboxState } from '@kairan/client/inbox'
import { useInbox, useNotification, useNotifications } from '@kairan/client/react'
import * as svelte from '@kairan/client/svelte'
import * as vue from '@kairan/client/vue'

type Shop = { 'order.shipped': { orderId: number } }
const client = createNotifications<Shop>({ key: '42' })

export const List = () => {
  const { items, loadMore, markRead } = useInbox(client, { limit: 5 })
  void (() => markRead(items.map(({ id }) => id)))
  useNotification(client, 'order.shipped', ({ payload }) => payload.orderId.toFixed())
  return (
    <button
      type="button"
      onClick={loadMore}
    >{`${useNotifications(client).unread} of ${items.length}`}</button>
  )
}

export const state: InboxState = createInbox(client).state
export const useVue = () => {
  vue.useNotification(client, 'order.shipped', ({ payload }) => payload.orderId.toFixed())
  return vue.useInbox(client).state.value.items.length satisfies number
}
export const useSvelte = () => {
  svelte.useNotifications(client).subscribe(({ unread }) => unread?.toFixed())
  return svelte.useInbox(client).subscribe(({ items }) => items.length.toFixed())
}

const bell = new KairanBell()
bell.client = client
bell.addEventListener('kairan-select', ({ detail }) => detail.id.toUpperCase())
document.querySelector('kairan-bell')?.remove()
bell.texts = { title: 'Benachrichtigungen' }
bell.auth = async () => 'token'
// @ts-expect-error: there is no such text.
bell.texts = { heading: 'Benachrichtigungen' }
