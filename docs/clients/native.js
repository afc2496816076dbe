/** The browser's own EventSource, with the cookie: it returns by itself, with its cursor. */
export const listen = (url, { onEvent, onControl, onClosed }) => {
  const events = new EventSource(`${url}/notifications/stream`, { withCredentials: true })
  events.onmessage = ({ data, lastEventId }) => onEvent(JSON.parse(data), lastEventId)
  events.addEventListener('control', ({ data }) => onControl(JSON.parse(data)))
  events.onerror = () => {
    // Anything but 200 ends it for good: sign in again, or ask for another ticket.
    if (events.readyState === EventSource.CLOSED) onClosed()
  }
  return () => events.close()
}
