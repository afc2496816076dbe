/**
 * A process that holds many streams open and counts what comes, as cheaply as it can: raw sockets, and one
 * byte that is in every event once. Told what to do by its parent, see readers.ts.
 */
import type { Socket } from 'bun'

export type Order =
  | { do: 'open'; host: string; port: number; requests: string[] }
  | { do: 'close' }
  | { do: 'count' }

export type Answer = {
  open: number
  events: number
  bytes: number
  failed: number
  lastAtMs: number
}

/** In every event of a benchmark once, and nowhere else in a stream. */
export const mark = '~'

const markByte = mark.charCodeAt(0)
const atOnce = 100
let sockets: Socket[] = []
let open = 0
let failed = 0
let events = 0
let bytes = 0
let lastAtMs = 0

const handler = {
  data(socket: Socket<{ request: string; began: boolean; opened(): void }>, data: Buffer) {
    bytes += data.length
    for (let at = data.indexOf(markByte); at >= 0; at = data.indexOf(markByte, at + 1)) {
      events++
      lastAtMs = performance.timeOrigin + performance.now()
    }
    if (socket.data.began) return
    socket.data.began = true
    if (data.toString('latin1', 9, 12) === '200') open++
    else failed++
    socket.data.opened()
  },
  close() {
    open--
  },
  error() {
    failed++
  },
}

const openOne = async (hostname: string, port: number, request: string) => {
  const opened = Promise.withResolvers<void>()
  const socket = await Bun.connect({
    hostname,
    port,
    socket: handler,
    data: { request, began: false, opened: opened.resolve },
  })
  sockets.push(socket as unknown as Socket)
  socket.write(request)
  await opened.promise
}

const answer = () => {
  const now: Answer = { open, events, bytes, failed, lastAtMs }
  process.send?.(now)
}

process.on('message', async (order: Order) => {
  if (order.do === 'open') {
    const requests = order.requests.values()
    const work = async () => {
      for (const request of requests) await openOne(order.host, order.port, request)
    }
    await Promise.all(Array.from({ length: atOnce }, work))
  } else if (order.do === 'close') {
    for (const socket of sockets) socket.terminate()
    sockets = []
  }
  answer()
})
