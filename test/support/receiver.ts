import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

export type Received = {
  id: string
  headers: Record<string, string>
  body: string
  data: { userId: string; payload: Record<string, unknown> }
}

type Answer = (received: Received, response: ServerResponse, attempt: number) => void

const ok: Answer = (_, response) => response.writeHead(204).end()

/** A receiver of webhooks on loopback. What it `answers` can be changed; it can stop, and start again. */
export const receiver = async (port = 0) => {
  const received: Received[] = []
  const state = { answer: ok, refused: 0 }
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    if (request.method !== 'POST' || request.url !== '/geheim/hook') {
      state.refused++
      response.writeHead(404).end()
      return
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    )
    const item = { id: headers['webhook-id'] ?? '', headers, body, data: JSON.parse(body).data }
    received.push(item)
    state.answer(item, response, received.filter(({ id }) => id === item.id).length)
  }
  const server = createServer((request, response) => void handle(request, response).catch(() => 0))
  // Instances that are killed reset their connections.
  server.on('connection', socket => socket.on('error', () => undefined))
  server.on('clientError', () => undefined)
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const opened = typeof address === 'object' && address ? address.port : 0
  return {
    url: `http://127.0.0.1:${opened}/geheim/hook`,
    port: opened,
    received,
    state,
    /** The user of each request, in order. */
    users: () => received.map(({ data }) => data.userId),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise<void>(done => server.close(() => done()))
    },
  }
}
