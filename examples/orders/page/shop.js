import { createNotifications } from '/client.js'

const teas = [
  { name: 'Sencha', note: 'Bright, grassy', color: '#5f8f3e' },
  { name: 'Hojicha', note: 'Roasted, mild', color: '#9a6236' },
  { name: 'Genmaicha', note: 'With toasted rice', color: '#a98a2f' },
  { name: 'Gyokuro', note: 'Shaded, sweet', color: '#2f6b4f' },
]
const next = { placed: 'shipped', shipped: 'delivered' }
const verbs = { shipped: 'Ship', delivered: 'Deliver' }
const toastMs = 6000
const maxToasts = 3
const maxItems = 100

const $ = selector => document.querySelector(selector)

/** An element with properties, attributes (`data`, `style`) and children. */
const element = (name, { data, ...properties } = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties)
  Object.assign(made.dataset, data)
  made.append(...children)
  return made
}

const icon = path => {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  svg.setAttribute('viewBox', '0 0 24 24')
  svg.setAttribute('aria-hidden', 'true')
  const drawn = document.createElementNS('http://www.w3.org/2000/svg', 'path')
  drawn.setAttribute('d', path)
  svg.append(drawn)
  return svg
}
const cup = 'M5 8h11v6a4 4 0 0 1-4 4H9a4 4 0 0 1-4-4zm11 1h2a2 2 0 0 1 0 5h-2M4 21h13'
const bell = 'M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 20.5a2.2 2.2 0 0 0 4 0'
const cross = 'M6 6l12 12M18 6L6 18'

// Who is signed in: one person in this window, perhaps another in the next.
const people = await (await fetch('/users')).json()
const me = people.find(({ id }) => id === new URLSearchParams(location.search).get('as'))
const isAdmin = me?.role_level >= 100
let token

const signIn = async () => {
  const response = await fetch('/session', {
    method: 'POST',
    body: JSON.stringify({ user: me.id }),
  })
  token = (await response.json()).token
  return token
}

const call = async (path, body) => {
  const ask = async () =>
    fetch(path, {
      headers: { authorization: `Bearer ${token ?? (await signIn())}` },
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    })
  let response = await ask()
  if (response.status === 401) {
    await signIn()
    response = await ask()
  }
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.detail)
  return answer
}

// What the shop shows.
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

/** Does what a button says, once, and tells when it fails. */
const attempt = async (button, act) => {
  button.disabled = true
  try {
    await act()
  } catch (error) {
    toast('That did not work', error.message)
  } finally {
    button.disabled = false
  }
}

const showOrders = async () => {
  try {
    const orders = await call('/orders')
    $('#no-orders').hidden = orders.length > 0
    $('#orders').replaceChildren(...orders.map(orderItem))
  } catch (error) {
    toast('Not up to date', error.message)
  }
}

const orderItem = ({ id, item, status, customer, created_at }) => {
  const who = isAdmin ? `${customer}, ` : ''
  const shown = element(
    'li',
    { className: 'order', data: { order: id } },
    element(
      'div',
      { className: 'what' },
      `#${id} ${item}`,
      element('small', { className: 'order-note', textContent: who + ago(created_at) }),
    ),
    element('span', { className: 'status', data: { status }, textContent: status }),
  )
  const to = next[status]
  if (isAdmin && to) {
    const button = element('button', { type: 'button', textContent: verbs[to] })
    button.setAttribute('aria-label', `${verbs[to]}: order ${id}`)
    button.onclick = () => attempt(button, () => call(`/orders/${id}`, { status: to }))
    shown.append(button)
  }
  return shown
}

const ago = iso => {
  const minutes = Math.round((Date.now() - new Date(iso)) / 60_000)
  if (minutes < 1) return 'just now'
  if (minutes < 60) return `${minutes} min ago`
  return new Date(iso).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' })
}

const toast = (title, text) => {
  const close = element('button', { type: 'button', className: 'toast-close' }, icon(cross))
  close.setAttribute('aria-label', 'Close')
  const shown = element(
    'div',
    { className: 'toast' },
    element('span', { className: 'toast-icon' }, icon(bell)),
    element('div', {}, title, element('small', { className: 'toast-note', textContent: text })),
    close,
  )
  let timer
  const leave = () => shown.remove()
  const stay = () => clearTimeout(timer)
  const go = () => {
    timer = setTimeout(leave, toastMs)
  }
  close.onclick = leave
  shown.onpointerenter = stay
  shown.onpointerleave = go
  go()
  $('#toasts').append(shown)
  while ($('#toasts').children.length > maxToasts) $('#toasts').firstChild.remove()
}

/** What a notification says, in the words of who reads it. */
const words = ({ type, payload }) => {
  const { id, item, status, user_id } = payload
  const customer = people.find(person => person.id === user_id)?.name ?? 'Somebody'
  if (!type?.startsWith('order.'))
    return { title: type ?? 'Notification', text: JSON.stringify(payload) }
  if (isAdmin) {
    const title =
      status === 'placed' ? `${customer} orders ${item}` : `${item} for ${customer}: ${status}`
    return { title, text: `Order #${id}` }
  }
  const title = {
    placed: 'We have your order',
    shipped: 'It is on its way',
    delivered: 'It is there. Enjoy!',
  }[status]
  return { title, text: `${item}, order #${id}` }
}

// The bell.
const inbox = () => {
  let items = []
  const notifications = createNotifications({
    key: me.id,
    auth: refresh => (refresh || !token ? signIn() : token),
  })

  const show = () => {
    const { unread, status } = notifications
    $('#badge').hidden = !unread
    $('#badge').textContent = unread > 99 ? '99+' : (unread ?? '')
    $('.bell-open').setAttribute(
      'aria-label',
      unread ? `Notifications, ${unread} unread` : 'Notifications',
    )
    $('#read-all').disabled = !unread
    document.title = `${unread ? `(${unread}) ` : ''}Sencha & Co.`
    $('#state').hidden = status === 'open' || status === 'connecting'
    $('#state').textContent = 'Reconnecting…'
    $('#nothing').hidden = items.length > 0
    $('#notifications').replaceChildren(...items.map(inboxItem))
  }

  const inboxItem = item => {
    const { title, text } = words(item)
    const button = element(
      'button',
      { type: 'button', className: 'entry-open' },
      element('strong', { textContent: title }),
      element('small', { className: 'soft', textContent: ago(item.createdAt) }),
      element('small', { className: 'soft', textContent: text }),
    )
    if (!item.read)
      button.append(element('span', { className: 'visually-hidden', textContent: 'Unread' }))
    button.onclick = () => attempt(button, () => notifications.markRead([item.id]))
    return element('li', { className: 'entry', data: { read: item.read, id: item.id } }, button)
  }

  /** Newest first, each once: an admin who orders has the same notification on two channels. */
  const add = (newer, overwrite) => {
    const known = new Map(items.map(item => [item.id, item]))
    for (const item of newer) if (overwrite || !known.has(item.id)) known.set(item.id, item)
    items = [...known.values()]
      .sort((a, b) => b.createdAt.localeCompare(a.createdAt))
      .slice(0, maxItems)
    show()
  }

  /** The first page and the stream fit together: what is not on the page comes as an event. */
  const load = async () => {
    try {
      add((await notifications.list({ limit: 30 })).notifications, true)
    } catch (error) {
      toast('Not up to date', error.message)
    }
  }

  notifications.on('*', event => {
    add([{ ...event, read: false }], false)
    if (event.type?.startsWith('order.')) void showOrders()
    // What is old does not pop up, nor what is seen in the list anyway.
    if (event.replayed || $('#inbox').matches(':popover-open')) return
    const { title, text } = words(event)
    toast(title, text)
  })
  // This person has read some, perhaps in another window.
  for (const type of ['read', 'unread']) notifications.onControl(type, () => void load())
  notifications.onControl('gap', () => {
    void load()
    void showOrders()
  })
  notifications.subscribe(show)
  $('#read-all').onclick = () => attempt($('#read-all'), () => notifications.markAllRead())
  void load()
  void showOrders()
}

showPeople()
if (me) {
  $('#welcome').hidden = true
  $('#menu').hidden = isAdmin
  $('#orders-section').hidden = false
  $('#orders-title').textContent = isAdmin ? 'All orders' : 'Your orders'
  // The first heading of the page that is left.
  if (isAdmin) $('#orders-title').ariaLevel = '1'
  $('#bell').hidden = false
  $('#people').hidden = false
  showTeas()
  inbox()
}
