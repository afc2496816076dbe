import { createElement as h, StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { createNotifications } from '../../src/client/index.ts'
import { useChannel, useInbox, useNotification, useNotifications } from '../../src/client/react.ts'

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

const List = () => {
  const { items, unread, status, hasMore, loadMore, markRead } = useInbox(client, { limit: 2 })
  const text = items.map(({ payload, read }) => `${payload.orderId}${read ? '' : '*'}`).join(' ')
  const ids = items.flatMap(({ id }) => id ?? [])
  return [
    h('p', { key: 'list', id: 'list' }, `${status} ${unread}: ${text}${hasMore ? ' …' : ''}`),
    h('button', { key: 'more', id: 'more', type: 'button', onClick: loadMore }, 'More'),
    h('button', { key: 'read', id: 'read', type: 'button', onClick: () => markRead(ids) }, 'Read'),
  ]
}

const Run = () => {
  const [name, setName] = useState('run-1')
  const [steps, setSteps] = useState<string[]>([])
  useChannel(
    client,
    name,
    '*',
    ({ channel, payload }) => setSteps([...steps, `${channel} ${payload.orderId}`]),
    () => setSteps([...steps, `${name} refused`]),
  )
  return [
    h('p', { key: 'steps', id: 'steps' }, steps.join(', ')),
    ...['run-2', 'org-9'].map(next =>
      h('button', { key: next, id: next, type: 'button', onClick: () => setName(next) }, next),
    ),
  ]
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
if (root)
  createRoot(root).render(
    h(StrictMode, null, h(query.has('inbox') ? List : query.has('run') ? Run : App)),
  )
