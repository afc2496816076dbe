import { listen } from './native.js'

/** One stream for all tabs of an origin: `new SharedWorker('shared-worker.js', { type: 'module' })`. */
const ports = new Set()
const tell = message => {
  for (const port of ports) port.postMessage(message)
}
self.onconnect = ({ ports: [port] }) => {
  ports.add(port)
  if (ports.size > 1) return
  listen(self.location.origin, {
    onEvent: (event, cursor) => tell({ event, cursor }),
    onControl: control => tell({ control }),
    onClosed: () => tell({ closed: true }),
  })
}
