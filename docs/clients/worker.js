import { listen } from './native.js'

/** In a worker, so that a busy page does not delay it: `new Worker('worker.js', { type: 'module' })`. */
listen(self.location.origin, {
  onEvent: (event, cursor) => postMessage({ event, cursor }),
  onControl: control => postMessage({ control }),
  onClosed: () => postMessage({ closed: true }),
})
