// Plain Elysia: a generator for each connection, which encodes each event itself.
import { Elysia, sse } from 'elysia'

type Queue = { events: unknown[]; wake: (() => void) | null }

const queues = new Set<Queue>()

new Elysia()
  .get('/', () => 'ok')
  .get('/sub', async function* ({ request }) {
    const queue: Queue = { events: [], wake: null }
    queues.add(queue)
    request.signal.addEventListener('abort', () => queue.wake?.())
    try {
      yield sse({ event: 'ping', data: 'connected' })
      while (!request.signal.aborted) {
        const event = queue.events.shift()
        if (event !== undefined) yield sse({ data: event })
        else {
          await new Promise<void>(resolve => {
            queue.wake = resolve
          })
        }
      }
    } finally {
      queues.delete(queue)
    }
  })
  .post('/', async ({ body }) => {
    const { count, text } = body as { count: number; text: string }
    for (let n = 0; n < count; n++) {
      for (const queue of queues) {
        queue.events.push({ text })
        queue.wake?.()
        queue.wake = null
      }
      await new Promise(resolve => setImmediate(resolve))
    }
    return 'ok'
  })
  .listen({ port: Number(process.argv[2]), hostname: '127.0.0.1', idleTimeout: 255 })
