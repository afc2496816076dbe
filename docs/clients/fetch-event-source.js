import { fetchEventSource } from '@microsoft/fetch-event-source'

class Refused extends Error {}

/** Takes the end of a response for the end of all: throwing in `onclose` is what makes it return. */
export const listen = (url, token, { onEvent, onControl, onClosed }) => {
  const abort = new AbortController()
  let retryMs = 3000
  fetchEventSource(`${url}/notifications/stream`, {
    signal: abort.signal,
    headers: { authorization: `Bearer ${token()}` },
    openWhenHidden: true,
    async onopen({ status }) {
      if (status >= 400 && status < 500) throw new Refused()
      if (status !== 200) throw new Error(`${status}`)
    },
    onmessage({ data, event, id, retry }) {
      if (retry) retryMs = retry
      if (event === 'control') onControl(JSON.parse(data))
      else if (event === '' && data) onEvent(JSON.parse(data), id)
    },
    onclose() {
      throw new Error('ended')
    },
    onerror(error) {
      if (error instanceof Refused) throw error
      return retryMs
    },
  }).catch(onClosed)
  return () => abort.abort()
}
