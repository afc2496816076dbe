import { showBell } from '/bell.js'
import { $, attempt, element, icon, replace, time, toast } from '/dom.js'
import { call, isAdmin, me, people } from '/session.js'

const teas = [
  { name: 'Sencha', note: 'Bright, grassy', color: '#5f8f3e' },
  { name: 'Hojicha', note: 'Roasted, mild', color: '#9a6236' },
  { name: 'Genmaicha', note: 'With toasted rice', color: '#a98a2f' },
  { name: 'Gyokuro', note: 'Shaded, sweet', color: '#2f6b4f' },
]
const next = { placed: 'shipped', shipped: 'delivered' }
const verbs = { shipped: 'Ship', delivered: 'Deliver', cancelled: 'Cancel' }
const cup = 'M5 8h11v6a4 4 0 0 1-4 4H9a4 4 0 0 1-4-4zm11 1h2a2 2 0 0 1 0 5h-2M4 21h13'

const showPeople = () => {
  for (const { id, name, role_level } of people) {
    const link = element('a', { href: `?as=${id}`, textContent: name })
    if (id === me?.id) link.setAttribute('aria-current', 'true')
    $('#people').append(link)
    $('#choices').append(choice({ id, name, role_level }))
  }
}

const choice = ({ id, name, role_level }) =>
  element(
    'li',
    {},
    element(
      'a',
      { className: 'choice', href: `?as=${id}` },
      element('span', { className: 'initial', textContent: name[0] }),
      element('strong', { textContent: name }),
      element('small', {
        className: 'soft',
        textContent: role_level >= 100 ? 'Runs the shop' : 'Buys tea',
      }),
    ),
  )

const showTeas = () => {
  for (const { name, note, color } of teas) {
    const picture = element('span', { className: 'cup' }, icon(cup))
    picture.style.setProperty('--tea', color)
    const order = element('button', { type: 'button', className: 'main', textContent: 'Order' })
    order.setAttribute('aria-label', `Order ${name}`)
    order.onclick = () => attempt(order, () => call('/orders', { item: name }))
    $('#teas').append(
      element(
        'li',
        { className: 'tea' },
        picture,
        element('strong', { textContent: name }),
        element('small', { className: 'tea-note', textContent: note }),
        order,
      ),
    )
  }
}

const showOrders = async () => {
  try {
    const orders = await call('/orders')
    $('#no-orders').hidden = orders.length > 0
    replace($('#orders'), orders.map(orderItem))
  } catch (error) {
    toast('Not up to date', error.message)
  }
}

const orderItem = ({ id, item, status, customer, created_at }) => {
  const who = isAdmin ? `${customer}, ` : ''
  const shown = element(
    'li',
    { className: 'order', data: { id, order: id } },
    element(
      'div',
      { className: 'what' },
      `#${id} ${item}`,
      element('small', { className: 'order-note' }, who, time(created_at)),
    ),
    element('span', { className: 'status', data: { status }, textContent: status }),
  )
  const to = isAdmin ? next[status] : status === 'placed' && 'cancelled'
  if (to) {
    const button = element('button', { type: 'button', textContent: verbs[to] })
    button.setAttribute('aria-label', `${verbs[to]}: order ${id}`)
    button.onclick = () => attempt(button, () => call(`/orders/${id}`, { status: to }))
    shown.append(button)
  }
  return shown
}

const announce = event => {
  event.preventDefault()
  const { text } = event.target
  void attempt(event.submitter, () => call('/offers', { text: text.value }))
}

showPeople()
if (me) {
  $('#welcome').hidden = true
  $('#menu').hidden = isAdmin
  $('#orders-section').hidden = false
  $('#orders-title').textContent = isAdmin ? 'All orders' : 'Your orders'
  // The first heading of the page that is left.
  if (isAdmin) $('#orders-title').ariaLevel = '1'
  $('#announce').hidden = !isAdmin
  $('#announce form').onsubmit = announce
  $('#people').hidden = false
  showTeas()
  showBell(showOrders)
  void showOrders()
}
