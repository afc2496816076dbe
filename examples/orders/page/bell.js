import { createNotifications } from '/client.js'
import '/client/element.js'
import { $, element, toast } from '/dom.js'
import { showOffers } from '/offers.js'
import { received } from '/received.js'
import { isAdmin, me, people, tokenOf } from '/session.js'

/**
 * The bell of the page, and a toast for what is new. Both have one client. `onChange` is called when something may
 * have happened to the orders.
 */
export const showBell = onChange => {
  const notifications = createNotifications({ key: me.id, auth: tokenOf })
  const bell = element('kairan-bell', {
    client: notifications,
    describe: words,
    texts: { empty: 'Nothing yet. What happens to orders is told here.' },
  })
  $('header').append(bell)
  if (!isAdmin) showOffers(notifications)

  let wasOpen = false
  notifications.subscribe(() => {
    const { unread, status } = notifications
    document.title = `${unread ? `(${unread}) ` : ''}Sencha & Co.`
    wasOpen ||= status === 'open'
    $('#state').hidden = status === 'open' || !wasOpen
    $('#state').textContent = 'Reconnecting…'
  })
  notifications.on('*', event => {
    if (event.id && event.type === 'order.shipped') void received(event.id)
    if (event.type?.startsWith('order.')) onChange()
    // What is old does not pop up, nor what is seen in the list anyway.
    if (event.replayed || bell.shadowRoot.activeElement?.closest('[part=panel]')) return
    const { title, text } = words(event)
    toast(title, text)
  })
  notifications.onControl('gap', onChange)
  // Who opens the list sees there what popped up.
  bell.addEventListener('click', () => $('#toasts').replaceChildren())
}

/** What a notification says, in the words of who reads it. */
const words = ({ type, payload }) => {
  const { id, item, status, user_id } = payload
  const customer = people.find(person => person.id === user_id)?.name ?? 'Somebody'
  if (type?.startsWith('marketing.')) return { title: payload.title, text: payload.text }
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
