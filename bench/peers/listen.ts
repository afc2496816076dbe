// A simple service, as one would write it by hand: it LISTENs and writes each NOTIFY to every open response. It has no
// table, no resuming, no statuses and no permissions.
import postgres from 'postgres'

const [port, url] = process.argv.slice(2)
const encoder = new TextEncoder()
const open = new Set<ReadableStreamDefaultController<Uint8Array>>()

const sql = postgres(url ?? '', { max: 1 })
await sql.listen('bench', payload => {
  const frame = encoder.encode(`data: ${payload}\n\n`)
  for (const controller of open) controller.enqueue(frame)
})

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(port),
  idleTimeout: 255,
  fetch(request) {
    if (new URL(request.url).pathname !== '/sub') return new Response('ok')
    let own: ReadableStreamDefaultController<Uint8Array>
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        own = controller
        open.add(controller)
        controller.enqueue(encoder.encode('event: ping\ndata: connected\n\n'))
      },
      cancel: () => void open.delete(own),
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  },
})
