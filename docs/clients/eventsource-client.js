import { createEventSource } from 'eventsource-client'

/** Never looks at the status: it would ask with a token that is refused again and again. */
export const listen = (url, token, { onEvent, onControl, onClosed }) => {
  const events = createEventSource({
    url: `${url}/notifications/stream`,
    fetch: async (input, init) => {
      const headers = { ...init.headers, authorization: `Bearer ${token()}` }
      const response = await fetch(input, { ...init, headers })
      if (response.status >= 400 && response.status < 500) {
        events.close()
        onClosed()
      }
      return response
    },
    onMessage({ data, event, id }) {
      if (event === 'control') onControl(JSON.parse(data))
      else if (event === undefined) onEvent(JSON.parse(data), id)
    },
  })
  return () => events.close()
}
