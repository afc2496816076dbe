/**
 * A process that holds many streams open and counts their events as cheaply as possible: it uses raw sockets, and
 * counts a byte that each event contains once. Its parent controls it: see readers.ts.
 */
import type { Socket, SocketHandler } from 'bun'

export type Order =
  | { do: 'open'; host: string; port: number; requests: string[]; atOnce: number; keep: boolean }
  | { do: 'close' }
  | { do: 'count' }
  | { do: 'streams' }

export type Answer = {
  open: number
  events: number
  bytes: number
  failed: number
  lastAtMs: number
  /** The state of each stream, in the order of the requests, if requested. */
  streams?: Kept[]
}

/** The number of events that a stream has received, and its last `id`, empty before the first. */
export type Kept = { events: number; cursor: string }

/** A byte that each event of a benchmark contains once, and that occurs nowhere else in a stream. */
export const mark = '~'

type Stream = Kept & { began: boolean; opened(): void }

const markByte = mark.charCodeAt(0)
const lineEnd = '\n'.charCodeAt(0)
const idField = 'id: '
let sockets: Socket<Stream>[] = []
let kept: Stream[] = []
let open = 0
let failed = 0
let events = 0
let bytes = 0
let lastAtMs = 0

const count = (socket: Socket<Stream>, data: Buffer) => {
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
}

/** Counts for each stream. It misses an `id` that arrives in two pieces: use it when the stream is quiet. */
const countAndKeep = (socket: Socket<Stream>, data: Buffer) => {
  const before = events
  count(socket, data)
  const stream = socket.data
  stream.events += events - before
  const start = data.lastIndexOf(idField)
  if (start < 0 || (start > 0 && data[start - 1] !== lineEnd)) return
  const end = data.indexOf(lineEnd, start)
  if (end > start) stream.cursor = data.toString('latin1', start + idField.length, end)
}

const handler: SocketHandler<Stream> = {
  data: count,
  close() {
    open--
  },
  error() {
    failed++
  },
}
const keepingHandler = { ...handler, data: countAndKeep }

const openOne = async (hostname: string, port: number, request: string, keep: boolean) => {
  const opened = Promise.withResolvers<void>()
  const stream = { began: false, opened: opened.resolve, events: 0, cursor: '' }
  if (keep) kept.push(stream)
  const socket = await Bun.connect({
    hostname,
    port,
    socket: keep ? keepingHandler : handler,
    data: stream,
  })
  sockets.push(socket)
  socket.write(request)
  await opened.promise
}

const answer = (more: Partial<Answer> = {}) => {
  const now: Answer = { open, events, bytes, failed, lastAtMs, ...more }
  process.send?.(now)
}

process.on('message', async (order: Order) => {
  if (order.do === 'open') {
    const requests = order.requests.values()
    const work = async () => {
      for (const request of requests) await openOne(order.host, order.port, request, order.keep)
    }
    await Promise.all(Array.from({ length: order.atOnce }, work))
  } else if (order.do === 'close') {
    for (const socket of sockets) socket.terminate()
    sockets = []
    kept = []
  } else if (order.do === 'streams') {
    return answer({ streams: kept.map(({ events, cursor }) => ({ events, cursor })) })
  }
  answer()
})
