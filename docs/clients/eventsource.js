import { EventSource } from 'eventsource'

/** The standard's EventSource for Node and Bun, and with a header also for browsers. */
export const listen = (url, token, { onEvent, onControl, onClosed }) => {
  const events = new EventSource(`${url}/notifications/stream`, {
    fetch: (input, init) =>
      fetch(input, { ...init, headers: { ...init.headers, authorization: `Bearer ${token()}` } }),
  })
  events.onmessage = ({ data, lastEventId }) => onEvent(JSON.parse(data), lastEventId)
  events.addEventListener('control', ({ data }) => onControl(JSON.parse(data)))
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) onClosed()
  }
  return () => events.close()
}
