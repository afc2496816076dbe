import ReconnectingEventSource from 'reconnecting-eventsource'

/** The browser's own, made anew when it was refused: it comes back after a proxy's 502, and never gives up. */
export const listen = (url, { onEvent, onControl }) => {
  const events = new ReconnectingEventSource(`${url}/notifications/stream`, {
    withCredentials: true,
    max_retry_time: 3000,
  })
  events.onmessage = ({ data, lastEventId }) => onEvent(JSON.parse(data), lastEventId)
  events.addEventListener('control', ({ data }) => onControl(JSON.parse(data)))
  return () => events.close()
}
