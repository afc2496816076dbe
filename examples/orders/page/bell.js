import { createNotifications } from '/client.js'
import { $, attempt, element, replace, time, toast } from '/dom.js'
import { received } from '/received.js'
import { isAdmin, me, people, tokenOf } from '/session.js'

const maxItems = 100

/**
 * The bell: how many are unread, the list of them, and a toast for what is new. `onChange` is called when
 * something may have happened to the orders.
 */
export const showBell = onChange => {
  let items = []
  let wasOpen = false
  const notifications = createNotifications({
    key: me.id,
    auth: tokenOf,
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
    wasOpen ||= status === 'open'
    $('#state').hidden = status === 'open' || !wasOpen
    $('#state').textContent = 'Reconnecting…'
    $('#nothing').hidden = items.length > 0
    replace($('#notifications'), items.map(inboxItem))
  }

  const inboxItem = item => {
    const { title, text } = words(item)
    const button = element(
      'button',
      { type: 'button', className: 'entry-open' },
      element('strong', { textContent: title }),
      element('small', { className: 'soft' }, time(item.createdAt)),
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
    // What has no id is not stored, so it has no place in the list.
    if (event.id) add([{ ...event, read: false }], false)
    if (event.id && event.type === 'order.shipped') void received(event.id)
    if (event.type?.startsWith('order.')) onChange()
    // What is old does not pop up, nor what is seen in the list anyway.
    if (event.replayed || $('#inbox').matches(':popover-open')) return
    const { title, text } = words(event)
    toast(title, text)
  })
  // This person has read some, perhaps in another window.
  for (const type of ['read', 'unread']) notifications.onControl(type, () => void load())
  notifications.onControl('gap', () => {
    void load()
    onChange()
  })
  notifications.subscribe(show)
  // Who opens the list sees there what popped up.
  $('#inbox').ontoggle = () => $('#toasts').replaceChildren()
  $('#read-all').onclick = () => attempt($('#read-all'), () => notifications.markAllRead())
  void load()
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
    cancelled: 'You have cancelled it',
  }[status]
  return { title, text: `${item}, order #${id}` }
}
