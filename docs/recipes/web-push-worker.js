// The service worker that shows them.
self.addEventListener('push', event => {
  const { type, payload } = event.data.json()
  const title = type === 'order.shipped' ? 'Your order was shipped' : 'Something happened'
  event.waitUntil(
    self.registration.showNotification(title, { data: payload, tag: `order-${payload.orderId}` }),
  )
})
