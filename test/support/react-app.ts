import { createElement as h, StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { createNotifications } from '../../src/client/index.ts'
import { useNotification, useNotifications } from '../../src/client/react.ts'

type Shop = { 'order.shipped': { orderId: number } }

const query = new URLSearchParams(location.search)
const client = createNotifications<Shop>({
  url: query.get('service') ?? '',
  auth: async () => (await fetch(`/token?user=${query.get('user')}`)).text(),
})

const Bell = () => {
  const { status, unread } = useNotifications(client)
  return h('p', { role: 'status' }, `${status}, ${unread ?? 'some'} unread`)
}

const Orders = () => {
  const [orders, setOrders] = useState<number[]>([])
  // Only the listener of the last render has all orders, so the hook has to call that one.
  useNotification(client, 'order.shipped', ({ payload }) => setOrders([...orders, payload.orderId]))
  return h('p', { id: 'orders' }, orders.join(', '))
}

const App = () => {
  const [isShown, setShown] = useState(true)
  return [
    h(Bell, { key: 'bell' }),
    isShown ? h(Orders, { key: 'orders' }) : null,
    h('button', { key: 'toggle', type: 'button', onClick: () => setShown(!isShown) }, 'Toggle'),
  ]
}

const root = document.getElementById('root')
if (root) createRoot(root).render(h(StrictMode, null, h(App)))
