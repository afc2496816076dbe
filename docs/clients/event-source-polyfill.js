import { EventSourcePolyfill } from 'event-source-polyfill'

/** Sends headers, which the browser's own can't. Its cursor goes into the URL. */
export const listen = (url, token, { onEvent, onControl, onClosed }) => {
  const events = new EventSourcePolyfill(`${url}/notifications/stream`, {
    headers: { authorization: `Bearer ${token()}` },
    lastEventIdQueryParameterName: 'last_event_id',
    heartbeatTimeout: 45_000, // Three heartbeats.
  })
  events.onmessage = ({ data, lastEventId }) => onEvent(JSON.parse(data), lastEventId)
  events.addEventListener('control', ({ data }) => onControl(JSON.parse(data)))
  events.onerror = () => {
    if (events.readyState === EventSourcePolyfill.CLOSED) onClosed()
  }
  return () => events.close()
}
