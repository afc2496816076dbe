/** What the test page has of the clients that run in browsers; each tells `report` what it hears. */
import { listen as eventSourcePolyfill } from '../../docs/clients/event-source-polyfill.js'
import { listen as eventsource } from '../../docs/clients/eventsource.js'
import { listen as fetchEventSource } from '../../docs/clients/fetch-event-source.js'
import { listen as native } from '../../docs/clients/native.js'
import { listen as reconnecting } from '../../docs/clients/reconnecting-eventsource.js'

window.heard = { events: [], controls: [], closed: false }

const on = {
  onEvent: (event, cursor) => window.heard.events.push({ n: event.payload.n, cursor }),
  onControl: control => window.heard.controls.push(control.type),
  onClosed: () => {
    window.heard.closed = true
  },
}

const fromWorker = ({ data: { event, cursor, control, closed } }) => {
  if (event) on.onEvent(event, cursor)
  if (control) on.onControl(control)
  if (closed) on.onClosed()
}

window.start = {
  native: url => native(url, on),
  reconnecting: url => reconnecting(url, on),
  eventsource: (url, token) => eventsource(url, () => token, on),
  fetchEventSource: (url, token) => fetchEventSource(url, () => token, on),
  eventSourcePolyfill: (url, token) => eventSourcePolyfill(url, () => token, on),
  worker: () => {
    new Worker('/worker.js', { type: 'module' }).onmessage = fromWorker
  },
  sharedWorker: () => {
    new SharedWorker('/shared-worker.js', { type: 'module' }).port.onmessage = fromWorker
  },
  htmx: () => {
    document.body.addEventListener('htmx:sseBeforeMessage', ({ detail }) => {
      const content = JSON.parse(detail.data)
      if (detail.type === 'message') on.onEvent(content, detail.lastEventId)
      else on.onControl(content)
    })
    document.body.innerHTML = window.htmxPage
    window.htmx.process(document.body)
  },
}
